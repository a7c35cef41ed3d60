"""Decides: member and cluster ids as etcd computes them, and request ids that no other member makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

_MASK_63 = (1 << 63) - 1
_MASK_64 = (1 << 64) - 1


def _first_eight_bytes(data: bytes) -> int:
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "big")


def member_id(peer_urls: Iterable[str], cluster_token: str, unix_seconds: int | None = None) -> int:
    """The id of a member: from its peer URLs and the cluster token at bootstrap; with the time of the call for a
    member that is added later (etcd `membership.NewMember`)."""
    text = "".join(sorted(peer_urls)) + cluster_token
    if unix_seconds is not None:
        text += str(unix_seconds)
    return _first_eight_bytes(text.encode())


def cluster_id(member_ids: Sequence[int]) -> int:
    """The id of a cluster: from the ids of the members it was bootstrapped with."""
    return _first_eight_bytes(b"".join(one.to_bytes(8, "big") for one in sorted(member_ids)))


class RequestIds:
    """Request ids, unique across members and restarts (etcd `idutil`).

    Bits 63..48 are the low bits of the member id, bits 47..8 the start time in milliseconds, bits 7..0 a counter that
    carries over.
    """

    __slots__ = ("_next",)

    def __init__(self, member: int, unix_milliseconds: int) -> None:
        self._next = ((member & 0xFFFF) << 48) | ((unix_milliseconds & ((1 << 40) - 1)) << 8)

    def next(self) -> int:
        """A new request id."""
        self._next = (self._next + 1) & _MASK_64
        return self._next

    def next_lease(self) -> int:
        """A new lease id: positive, so that clients may hold it in an int64."""
        return self.next() & _MASK_63
