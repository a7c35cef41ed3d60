"""Decides: what a file of users and passwords says: `NAME:PASSWORD` a line, `#` for remarks.

NAME is the common name of a client's certificate and the user at the members. Passwords may hold colons and spaces.
"""

from __future__ import annotations

from collections.abc import Mapping

from dualmode import limits
from dualmode.errors import StartError


def parse_credentials(text: str, file: str) -> Mapping[str, str]:
    """User -> password. Raises StartError naming the line, never what is in it."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not colon or not name or not password:
            raise StartError(f"{file}, line {number}: not NAME:PASSWORD")
        if name in found:
            raise StartError(f"{file}, line {number}: a name that stands above already")
        found[name] = password
        if len(found) > limits.PROXY_USERS:
            raise StartError(f"{file}: more than {limits.PROXY_USERS} users")
    return found
