"""Decides: which keys a (key, range_end) pair of the API means, wherever one is taken."""

from __future__ import annotations

FROM_KEY = b"\x00"


def interval(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    """The half-open interval [low, high) of keys, high None when it has no end.

    No range_end means the key alone; the single byte 0x00 means everything from the key on (and so, with the key 0x00,
    everything); otherwise [key, range_end), which is empty when range_end is not above key.
    """
    if not range_end:
        return key, key + b"\x00"
    if range_end == FROM_KEY:
        return key, None
    return key, range_end


def contains(low: bytes, high: bytes | None, key: bytes) -> bool:
    """Whether `key` lies in an interval that `interval` gave."""
    return low <= key and (high is None or key < high)
