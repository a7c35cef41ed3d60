"""Decides: gRPC's length-prefixed messages: one flag byte, four bytes of length, the message.

The bounds are checked on the prefix, before anything is gathered or decompressed. Texts are grpc-go's.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dualmode.errors import Code, RpcError

PREFIX_BYTES: Final = 5
_PREFIX: Final = struct.Struct(">BI")
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS

_INCOMPLETE = RpcError(Code.INTERNAL, "grpc: the request ends in the middle of a message")
_NO_MESSAGE = RpcError(Code.UNIMPLEMENTED, "grpc: the request holds no message where the method takes one")
_SECOND_MESSAGE = RpcError(Code.UNIMPLEMENTED, "grpc: the request holds a second message where the method takes one")
_FLAG_WITHOUT_ENCODING = RpcError(Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding")


def frame(message: bytes) -> bytes:
    """The message with its prefix, not compressed."""
    return _PREFIX.pack(0, len(message)) + message


def frames_around(head: bytes, middles: Sequence[bytes], tail: bytes) -> bytes:
    """Messages that differ in their middle only, and not in its length, each with its prefix, behind each other. It is
    one call of C for however many: what makes a thousand watchers cheap."""
    start = _PREFIX.pack(0, len(head) + len(middles[0]) + len(tail)) + head
    return start + (tail + start).join(middles) + tail


def unframed(data: bytes) -> Iterator[bytes]:
    """The messages of frames of our own making: whole ones, not compressed."""
    start = 0
    while start < len(data):
        end = start + PREFIX_BYTES + _PREFIX.unpack_from(data, start)[1]
        yield data[start + PREFIX_BYTES : end]
        start = end


def by_length(fields: Iterable[bytes]) -> list[list[bytes]]:
    """Fields of one length together, as `frames_around` takes them."""
    found: dict[int, list[bytes]] = {}
    for field in fields:
        found.setdefault(len(field), []).append(field)
    return list(found.values())


def too_large(size_bytes: int, limit_bytes: int) -> RpcError:
    """What the sender of too large a message is told."""
    return RpcError(Code.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size_bytes} vs. {limit_bytes})")


def refusal_of_size(start: bytes, limit_bytes: int) -> RpcError:
    """For a body that was dropped because no message within the limit fills it: its first bytes say the size."""
    length = _PREFIX.unpack_from(start)[1] if len(start) >= PREFIX_BYTES else limit_bytes + 1
    return too_large(length, limit_bytes) if length > limit_bytes else _SECOND_MESSAGE


def check_encoding(encoding: bytes | None) -> None:
    """Raises UNIMPLEMENTED for a `grpc-encoding` that we cannot undo. Messages that do not use it are no matter."""
    if encoding not in (None, b"identity", b"gzip"):
        name = encoding.decode("latin-1")
        raise RpcError(Code.UNIMPLEMENTED, f'grpc: Decompressor is not installed for grpc-encoding "{name}"')


def _inflate(data: bytes, encoding: bytes | None, limit_bytes: int) -> bytes:
    """A gzip member, never unpacked beyond the limit."""
    check_encoding(encoding)
    if encoding != b"gzip":
        raise _FLAG_WITHOUT_ENCODING
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        message = inflater.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise RpcError(Code.INTERNAL, f"grpc: failed to decompress the received message: {error}") from None
    if len(message) > limit_bytes:
        raise RpcError(
            Code.RESOURCE_EXHAUSTED,
            f"grpc: received message after decompression larger than max ({len(message)} vs. {limit_bytes})",
        )
    if not inflater.eof:
        raise RpcError(Code.INTERNAL, "grpc: failed to decompress the received message: unexpected EOF")
    return message


def only_message(body: bytes, encoding: bytes | None, limit_bytes: int) -> bytes:
    """The one message of a whole request body. Raises `RpcError`."""
    size = len(body) - PREFIX_BYTES
    if size < 0:
        raise _INCOMPLETE if body else _NO_MESSAGE
    flag, length = _PREFIX.unpack_from(body)
    if length > limit_bytes:
        raise too_large(length, limit_bytes)
    if length != size:
        raise _INCOMPLETE if length > size else _SECOND_MESSAGE
    return _content(flag, body[PREFIX_BYTES:], encoding, limit_bytes)


def _content(flag: int, data: bytes, encoding: bytes | None, limit_bytes: int) -> bytes:
    if flag == 0:
        return data
    if flag == 1:
        return _inflate(data, encoding, limit_bytes)
    raise RpcError(Code.INTERNAL, f"grpc: received unexpected payload format {flag}")


class Unframer:
    """Messages out of a body that comes in pieces, cut anywhere.

    Bytes are kept as they came and taken apart when somebody asks, so that a flood of empty messages costs no more
    memory than the flow-control window it came through.
    """

    __slots__ = ("_buffer", "_encoding", "_limit_bytes")

    def __init__(self, encoding: bytes | None, limit_bytes: int) -> None:
        self._buffer = bytearray()
        self._encoding = encoding
        self._limit_bytes = limit_bytes

    def feed(self, data: bytes) -> None:
        """More of the body."""
        self._buffer += data

    @property
    def buffered_bytes(self) -> int:
        """What was fed and not yet taken."""
        return len(self._buffer)

    def whole(self, data: bytes) -> list[bytes]:
        """The messages of a piece of the body that is nothing but whole, plain messages; none for any other piece,
        which is then to be fed. Only while nothing is buffered."""
        found: list[bytes] = []
        position, end = 0, len(data)
        while end - position >= PREFIX_BYTES:
            flag, length = _PREFIX.unpack_from(data, position)
            position += PREFIX_BYTES
            if flag or length > self._limit_bytes or position + length > end:
                return []
            found.append(data[position : position + length])
            position += length
        return found if position == end else []

    def take(self) -> bytes | None:
        """The next message, None if more has to come first. Raises `RpcError`; after that the body is of no use."""
        buffer = self._buffer
        if len(buffer) < PREFIX_BYTES:
            return None
        flag, length = _PREFIX.unpack_from(buffer)
        if length > self._limit_bytes:
            raise too_large(length, self._limit_bytes)
        end = PREFIX_BYTES + length
        if len(buffer) < end:
            return None
        data = bytes(buffer[PREFIX_BYTES:end])
        del buffer[:end]
        return _content(flag, data, self._encoding, self._limit_bytes)

    def check_end(self) -> None:
        """The body is complete: raises `RpcError` when a message is not."""
        if self._buffer:
            raise _INCOMPLETE
