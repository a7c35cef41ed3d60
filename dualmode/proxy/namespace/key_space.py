"""Decides: how the keys and intervals under one prefix look from inside, where nobody knows of the prefix.

The mapping keeps the order of keys, and no two intervals become one, so what a client asks for is the same question
about its own keys. As in etcd's namespaced client an interval without end ends with the namespace. Two differences:

- the end of a prefix that ends in 0xff is the next key behind all that have it (etcd's takes in keys that are outside);
- an answer with a key outside is a fault of the member and never passed on.
"""

from __future__ import annotations

from typing import Final

from dualmode.errors import Code, RpcError

#: A range_end that means "all keys from `key` on".
TO_THE_END: Final = b"\0"
OUTSIDE: Final = RpcError(Code.INTERNAL, "dualmode: the member answered with a key outside the namespace")


class KeySpace:
    """The keys that begin with a prefix, which is not empty."""

    __slots__ = ("_end", "_length", "_prefix")

    def __init__(self, prefix: bytes) -> None:
        assert prefix, "a namespace has a name"
        self._prefix = prefix
        self._length = len(prefix)
        self._end = end_of(prefix)

    def key_at_member(self, key: bytes) -> bytes:
        """A client's key as the members have it."""
        return self._prefix + key

    def end_at_member(self, range_end: bytes) -> bytes:
        """A client's range_end as the members have it. None stays none: the interval is one key."""
        if range_end == TO_THE_END:
            return self._end
        return self._prefix + range_end if range_end else b""

    def key_for_client(self, key: bytes) -> bytes:
        """A member's key as the client has it. Raises `RpcError` for one that is outside."""
        if not key.startswith(self._prefix):
            raise OUTSIDE
        return key[self._length :]

    def has(self, key: bytes) -> bool:
        """Whether a member's key is inside."""
        return key.startswith(self._prefix)

    def interval_for_client(self, key: bytes, range_end: bytes) -> tuple[bytes, bytes] | None:
        """A member's interval as the client has it; None when it reaches outside, or when no client could have named
        it (its end would mean something else without the prefix)."""
        if not self.has(key):
            return None
        own_key = key[self._length :]
        if not range_end:
            return own_key, b""
        if range_end == self._end:
            return own_key, TO_THE_END
        own_end = range_end[self._length :]
        if not self.has(range_end) or own_end in (b"", TO_THE_END):
            return None
        return own_key, own_end


def end_of(prefix: bytes) -> bytes:
    """The least key behind all that begin with a prefix; behind one of 0xff only there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else TO_THE_END
