"""Decides: who asks for something: a user, and the revision of users and roles at which they were recognised.

Both travel with a proposal through the log (RequestHeader.username and .auth_revision), so that every member judges an
entry by the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The user, and the role, that may do everything.
ROOT: Final = "root"


@dataclass(frozen=True, slots=True)
class Caller:
    """A recognised user. Revision 0 is nobody's: counting starts at 1."""

    username: str
    auth_revision: int


#: Who has not said who they are; also everyone while authentication is off.
NOBODY: Final = Caller("", 0)
