"""Decides: SETTINGS (RFC 9113 section 6.5): what we announce, what the peer announces, and which values are lawful."""

from __future__ import annotations

from struct import Struct
from typing import Final

from dualmode.http.interface import ErrorCode
from dualmode.http.native.faults import ConnectionFaultError, frame_size_error, protocol_error
from dualmode.http.native.flow import MAX_WINDOW
from dualmode.http.options import Http2Options

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

DEFAULT_HEADER_TABLE_BYTES: Final = 4096
DEFAULT_WINDOW_BYTES: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
MAX_FRAME_BYTES: Final = 2**24 - 1

_ENTRY: Final = Struct(">HI")


def announce(options: Http2Options, is_client: bool) -> bytes:
    """The payload of our SETTINGS. Defaults of the protocol are left out."""
    entries = [(INITIAL_WINDOW_SIZE, options.stream_window_bytes), (MAX_HEADER_LIST_SIZE, options.header_list_bytes)]
    if options.frame_bytes != DEFAULT_FRAME_BYTES:
        entries.append((MAX_FRAME_SIZE, options.frame_bytes))
    if is_client:
        entries.append((ENABLE_PUSH, 0))
    else:
        entries.append((MAX_CONCURRENT_STREAMS, options.concurrent_streams))
    return b"".join(_ENTRY.pack(*entry) for entry in entries)


def parse(payload: bytes, from_server: bool) -> dict[int, int]:
    """The peer's values, the last one of each (it is as if they were set in order), every one checked."""
    if len(payload) % _ENTRY.size:
        raise frame_size_error(f"SETTINGS of {len(payload)} bytes")
    values: dict[int, int] = {}
    for name, value in _ENTRY.iter_unpack(payload):
        _check(name, value, from_server)
        values[name] = value
    return values


def _check(name: int, value: int, from_server: bool) -> None:
    """Section 6.5.2; unknown settings are ignored."""
    if name == ENABLE_PUSH and (value > 1 or (value == 1 and from_server)):
        raise protocol_error(f"SETTINGS_ENABLE_PUSH of {value}")
    if name == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
        raise ConnectionFaultError(ErrorCode.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE of {value}")
    if name == MAX_FRAME_SIZE and not DEFAULT_FRAME_BYTES <= value <= MAX_FRAME_BYTES:
        raise protocol_error(f"SETTINGS_MAX_FRAME_SIZE of {value}")
