"""Decides: cuts a byte stream, however it arrives, into frames; the client preface in front included.

What is incomplete is kept as pieces and joined once, when its frame is whole: a peer that sends byte by byte must not
make us copy the same bytes again and again.
"""

from __future__ import annotations

from collections.abc import Iterator

from dualmode.http.native.faults import frame_size_error, protocol_error
from dualmode.http.native.frames import HEADER_BYTES, MAX_STREAM_ID, read_header

#: (type, flags, stream number, payload)
Frame = tuple[int, int, int, bytes]


class FrameReader:
    """The input of one connection."""

    __slots__ = ("_needed_bytes", "_pieces", "_pieces_bytes", "_preface_left", "_too_long", "partial_since")

    def __init__(self, frame_bytes: int, preface: bytes) -> None:
        self._preface_left = preface
        #: The first value of a header's first word that is too long.
        self._too_long = (frame_bytes + 1) << 8
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._needed_bytes = 0
        #: Since when a frame is incomplete; None while none is. More bytes do not wind it up again.
        self.partial_since: float | None = None

    def frames(self, data: bytes, now: float) -> Iterator[Frame]:
        """The frames that are complete with these bytes. Exhaust it before the next call, or drop the reader.

        Raises ConnectionFaultError for a wrong preface or a frame above the limit.
        """
        if self._pieces_bytes:
            self._pieces.append(data)
            self._pieces_bytes += len(data)
            if self._pieces_bytes < self._needed_bytes:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._pieces_bytes = 0
        at = self._read_preface(data) if self._preface_left else 0
        size_bytes = len(data)
        too_long = self._too_long
        needed = HEADER_BYTES
        while size_bytes - at >= HEADER_BYTES:
            word, flags, stream_id = read_header(data, at)
            if word >= too_long:
                raise frame_size_error(f"frame of {word >> 8} bytes")
            end = at + HEADER_BYTES + (word >> 8)
            if end > size_bytes:
                needed = end - at
                break
            yield word & 0xFF, flags, stream_id & MAX_STREAM_ID, data[at + HEADER_BYTES : end]
            at = end
        if at < size_bytes:
            self._pieces.append(data[at:])
            self._pieces_bytes = size_bytes - at
            self._needed_bytes = needed
            if self.partial_since is None or at:
                self.partial_since = now
        elif not self._preface_left:
            self.partial_since = None

    def _read_preface(self, data: bytes) -> int:
        """How much of the input is client preface (RFC 9113 section 3.4)."""
        left = self._preface_left
        taken = min(len(left), len(data))
        if left[:taken] != data[:taken]:
            raise protocol_error("no HTTP/2 client preface")
        self._preface_left = left[taken:]
        return taken
