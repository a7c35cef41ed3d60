"""Decides: the JSON values of a body that holds one after the other, cut anywhere.

Only strings and brackets are looked at; whether a value is JSON is the decoder's to say.
"""

from __future__ import annotations

import re
from typing import Final

from dualmode.errors import Code, RpcError
from dualmode.rpc.framing import too_large

_SPACE: Final = b" \t\r\n"
_SPACES: Final = re.compile(rb"[ \t\r\n]*")
_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')

_UNEXPECTED_END = RpcError(Code.INVALID_ARGUMENT, "unexpected EOF")
_NO_OBJECT = RpcError(Code.INVALID_ARGUMENT, "json: an object is expected")


class JsonSplitter:
    """An `rpc.inbox.Splitter` of JSON objects. A value is scanned once, whatever pieces it comes in."""

    __slots__ = ("_buffer", "_depth", "_is_in_string", "_limit_bytes", "_position")

    def __init__(self, limit_bytes: int) -> None:
        self._buffer = bytearray()
        self._limit_bytes = limit_bytes
        self._begin()

    def _begin(self) -> None:
        #: Up to here the value at the start of the buffer is scanned.
        self._position = 0
        self._depth = 0
        self._is_in_string = False

    def feed(self, data: bytes) -> None:
        """More of the body."""
        self._buffer += data

    def whole(self, data: bytes) -> list[bytes]:
        """See inbox.Splitter. JSON is not worth a short way."""
        return []

    @property
    def buffered_bytes(self) -> int:
        """What was fed and not yet taken."""
        return len(self._buffer)

    def take(self) -> bytes | None:
        """The next object as text, None if more has to come first. Raises `RpcError`."""
        buffer = self._buffer
        if self._position == 0:
            space = _SPACES.match(buffer)
            assert space is not None, "it matches nothing as well"
            del buffer[: space.end()]  # cheap: a bytearray moves its start
            if not buffer:
                return None
            if buffer[0] != ord("{"):
                raise _NO_OBJECT
        end = self._scan()
        if (end or len(buffer)) > self._limit_bytes:
            raise too_large(end or len(buffer), self._limit_bytes)
        if not end:
            return None
        value = bytes(buffer[:end])
        del buffer[:end]
        self._begin()
        return value

    def _scan(self) -> int:
        """Goes on to the end of the value and gives its place; 0 when it is not there yet."""
        buffer = self._buffer
        while True:
            match = (_INSIDE if self._is_in_string else _OUTSIDE).search(buffer, self._position)
            if match is None:
                self._position = max(self._position, len(buffer))  # an escape may reach beyond
                return 0
            sign = buffer[match.start()]
            self._position = match.end()
            if sign == ord('"'):
                self._is_in_string = not self._is_in_string
            elif sign == ord("\\"):
                self._position += 1
            elif sign in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    return self._position

    def check_end(self) -> None:
        """The body is complete: raises `RpcError` when a value is not."""
        if self._buffer.strip(_SPACE):
            raise _UNEXPECTED_END
