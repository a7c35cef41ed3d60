"""Decides: where gRPC messages begin and end in what a stream brings, without looking into them."""

from __future__ import annotations

from collections.abc import Callable

_PREFIX_BYTES = 5


class Messages:
    """`receive` takes bytes cut anywhere; `each` is called with every whole message, `last` is the newest of them."""

    def __init__(self, each: Callable[[bytes], None] | None = None) -> None:
        self._each = each
        self._parts: list[bytes] = []
        self._have = 0
        self._need = _PREFIX_BYTES  #: of the prefix, or of prefix and message once its length is known
        self._whole: list[bytes] = []
        self.received_bytes = 0

    @property
    def last(self) -> bytes:
        """b"" before the first."""
        return b"".join(self._whole)[_PREFIX_BYTES:]

    def receive(self, data: bytes) -> None:
        self.received_bytes += len(data)
        start = 0
        while start < len(data):
            part = data[start : start + self._need - self._have]
            self._parts.append(part)
            self._have += len(part)
            start += len(part)
            if self._have == _PREFIX_BYTES == self._need:
                self._need += int.from_bytes(b"".join(self._parts)[1:], "big")
            if self._have == self._need and self._have:
                self._finish()

    def _finish(self) -> None:
        self._whole, self._parts = self._parts, []
        self._have, self._need = 0, _PREFIX_BYTES
        if self._each is not None:
            self._each(self.last)
