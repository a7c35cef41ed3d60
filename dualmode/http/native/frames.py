"""Decides: the bytes of HTTP/2 frames (RFC 9113 sections 4 and 6): building, and what one frame alone tells.

    +-----------------------------------------------+
    |                 Length (24)                   |
    +---------------+---------------+---------------+
    |   Type (8)    |   Flags (8)   |
    +-+-------------+---------------+-------------------------------+
    |R|                 Stream Identifier (31)                      |
    +-+-------------------------------------------------------------+

Length and type are read as one 32-bit word: it saves a third of the work of the hottest line in the program.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from dualmode.http.interface import ErrorCode
from dualmode.http.native.faults import ConnectionFaultError, StreamFaultError, frame_size_error, protocol_error

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

NAMES: Final = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
]

END_STREAM: Final = 0x01
ACK: Final = 0x01
END_HEADERS: Final = 0x04
PADDED: Final = 0x08
PRIORITY_FLAG: Final = 0x20

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9
PRIORITY_BYTES: Final = 5
MAX_STREAM_ID: Final = 2**31 - 1

_HEADER: Final = Struct(">IBI")
_U32: Final = Struct(">I")
_TWO_U32: Final = Struct(">II")

#: (length << 8 | type, flags, reserved bit + stream number) of the frame at an offset.
read_header: Final = _HEADER.unpack_from
#: The reverse.
pack_header: Final = _HEADER.pack
read_u32: Final = _U32.unpack_from

#: Types whose payload has one possible length (sections 6.3, 6.4, 6.7, 6.9).
FIXED_BYTES: Final = {PRIORITY: PRIORITY_BYTES, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
#: Types that belong to a stream, and types that belong to the connection; WINDOW_UPDATE may be either.
ON_STREAM: Final = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION})
ON_CONNECTION: Final = frozenset({SETTINGS, PING, GOAWAY})


def build(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return pack_header(len(payload) << 8 | kind, flags, stream_id) + payload


def build_reset(stream_id: int, code: int) -> bytes:
    """RST_STREAM."""
    return build(RST_STREAM, 0, stream_id, _U32.pack(code))


def build_goaway(last_stream_id: int, code: int, debug: bytes) -> bytes:
    """GOAWAY."""
    return build(GOAWAY, 0, 0, _TWO_U32.pack(last_stream_id, code) + debug)


def build_window_update(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE; stream 0 is the connection."""
    return build(WINDOW_UPDATE, 0, stream_id, _U32.pack(increment))


def build_header_block(stream_id: int, flags: int, block: bytes, frame_bytes: int) -> bytes:
    """HEADERS, followed by as many CONTINUATION frames as the block needs."""
    if len(block) <= frame_bytes:
        return build(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [build(HEADERS, flags, stream_id, block[:frame_bytes])]
    for start in range(frame_bytes, len(block), frame_bytes):
        last = END_HEADERS if start + frame_bytes >= len(block) else 0
        parts.append(build(CONTINUATION, last, stream_id, block[start : start + frame_bytes]))
    return b"".join(parts)


def check_shape(kind: int, stream_id: int, size_bytes: int) -> None:
    """What a frame's header alone tells: does the stream number fit the type, and the length?"""
    if stream_id == 0 and kind in ON_STREAM:
        raise protocol_error(f"{NAMES[kind]} on stream 0")
    if stream_id != 0 and kind in ON_CONNECTION:
        raise protocol_error(f"{NAMES[kind]} on stream {stream_id}")
    fixed = FIXED_BYTES.get(kind)
    if fixed is not None and size_bytes != fixed:
        text = f"{NAMES[kind]} of {size_bytes} bytes"
        if kind == PRIORITY:  # the one type that cannot harm the connection (section 6.3)
            raise StreamFaultError(stream_id, ErrorCode.FRAME_SIZE_ERROR, text)
        raise frame_size_error(text)


def strip_padding(kind: int, payload: bytes) -> bytes:
    """The payload of a PADDED frame without length byte and padding (sections 6.1, 6.2)."""
    if not payload:
        raise frame_size_error(f"{NAMES[kind]} without room for its padding length")
    padding = payload[0]
    if padding >= len(payload):
        raise protocol_error(f"{NAMES[kind]} with more padding than payload")
    return payload[1 : len(payload) - padding]


def strip_priority(stream_id: int, payload: bytes) -> tuple[bytes, bool]:
    """The header block of a HEADERS frame with priority, and whether the stream depends on itself (RFC 7540 5.3.1).

    The rest of priority is deprecated and ignored (RFC 9113 section 5.3.2).
    """
    if len(payload) < PRIORITY_BYTES:
        raise ConnectionFaultError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without room for its priority")
    return payload[PRIORITY_BYTES:], depends_on_itself(stream_id, payload)


def depends_on_itself(stream_id: int, payload: bytes) -> bool:
    """Whether a priority field names its own stream."""
    dependency: int = read_u32(payload, 0)[0]
    return dependency & MAX_STREAM_ID == stream_id
