"""Decides: the body of an answer in chunks (RFC 9112 section 7.1), in any cut: what a stream between members is.

Of our own because it is read for every batch of a cluster: nearly always what has come is one whole chunk. Extensions
are passed over; trailers end the body and are not looked at, since nothing follows them that we read.
"""

from __future__ import annotations

import re
from typing import Final

from dualmode import limits
from dualmode.errors import PeerError

#: Sixteen digits are more than anybody sends; the chunk itself is given on as it comes, so its size needs no bound.
_HEAD: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_END: Final = b"\r\n"


class ChunkedBody:
    """Reads one body."""

    def __init__(self) -> None:
        #: The head of a chunk, or the end of one, that has not come in full.
        self._rest = b""
        #: Of the chunk that is being read.
        self._remaining_bytes = 0
        self._is_in_chunk = False
        self.is_over = False

    def feed(self, data: bytes) -> bytes:
        """What of the body is in there. Raises `PeerError`."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        pieces: list[bytes] = []
        position = 0
        while not self.is_over:
            if self._is_in_chunk:
                piece = data[position : position + self._remaining_bytes]
                if piece:
                    pieces.append(piece)
                    position += len(piece)
                    self._remaining_bytes -= len(piece)
                if self._remaining_bytes:
                    break
                end = data[position : position + 2]
                if end != _END:
                    self._wait_for(end, _END.startswith(end))
                    break
                position += 2
                self._is_in_chunk = False
            head = _HEAD.match(data, position)
            if head is None:
                if position < len(data):
                    rest = data[position:]
                    self._wait_for(rest, b"\n" not in rest and len(rest) <= limits.PEER_CHUNK_HEAD_BYTES)
                break
            position = head.end()
            self._remaining_bytes = int(head[1], 16)
            self._is_in_chunk = self._remaining_bytes > 0
            self.is_over = not self._is_in_chunk
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _wait_for(self, rest: bytes, may_become_right: bool) -> None:
        if not may_become_right:
            raise PeerError(f"not HTTP/1.1: no chunk begins or ends with {rest[:40]!r}")
        self._rest = rest
