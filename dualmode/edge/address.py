"""Decides: which sockets a list of listen URLs asks for, and what each of them may speak.

etcd's rule: URLs with the same address share one socket, so `http://h:p` and `https://h:p` together make one port that
takes both, told apart by the first bytes (`edge/sniff.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dualmode.urls import Url, parse_address


@dataclass(frozen=True, slots=True)
class Place:
    """One socket to bind, and what may arrive on it."""

    target: Url
    allows_plain: bool
    allows_tls: bool

    @property
    def urls(self) -> tuple[str, ...]:
        """The listen URLs that this socket serves."""
        plain, tls = ("unix", "unixs") if self.target.is_unix else ("http", "https")
        kinds = [scheme for scheme, allowed in ((plain, self.allows_plain), (tls, self.allows_tls)) if allowed]
        return tuple(str(replace(self.target, scheme=scheme)) for scheme in kinds)


def places(urls: Iterable[str]) -> list[Place]:
    """One Place per address, in the order in which the addresses first appear. Raises StartError."""
    found: dict[str, Place] = {}
    for url in urls:
        target = parse_address(url)
        # Port 0 means "any free port", so two of them are two sockets.
        key = target.address if target.is_unix or target.port else f"{url} {len(found)}"
        known = found.get(key)
        found[key] = Place(
            known.target if known else target,
            allows_plain=not target.is_tls or (known is not None and known.allows_plain),
            allows_tls=target.is_tls or (known is not None and known.allows_tls),
        )
    return list(found.values())
