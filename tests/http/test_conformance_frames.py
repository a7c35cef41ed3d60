"""RFC 9113 sections 3, 4 and 6: preface, frame format, and every frame type's own rules."""

import pytest

from dualmode.http.interface import ErrorCode as E
from dualmode.http.options import Http2Options
from tests.http.conformance import ALIVE, Case, answered, connection_error, parameters, run, stream_error
from tests.http.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PSEUDO,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    block,
    data,
    frame,
    headers,
    priority,
    reset,
    settings,
    trailers,
    u32,
    window_update,
)

HEAD_BLOCK = block(*PSEUDO)
OPEN = headers(1, end=False)
MAX_WINDOW = 2**31 - 1
DEFAULT = Http2Options()


def setting(name: int, value: int) -> bytes:
    return settings((name, value))


PREFACE_CASES = [
    Case(
        "3.4",
        "preface of another protocol",
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",),
        connection_error(E.PROTOCOL_ERROR),
        handshake=False,
    ),
    Case(
        "3.4",
        "preface wrong in its last byte",
        (PREFACE[:-1] + b"x",),
        connection_error(E.PROTOCOL_ERROR),
        handshake=False,
    ),
    Case(
        "3.4",
        "PING before SETTINGS",
        (PREFACE, frame(PING, 0, 0, bytes(8))),
        connection_error(E.PROTOCOL_ERROR),
        handshake=False,
        h2_differs="h2 takes any first frame",
    ),
    Case(
        "3.4",
        "acknowledgement before SETTINGS",
        (PREFACE, frame(SETTINGS, ACK, 0)),
        connection_error(E.PROTOCOL_ERROR),
        handshake=False,
        h2_differs="h2 takes any first frame",
    ),
    Case("3.4", "preface and empty SETTINGS", (PREFACE, settings()), ALIVE, handshake=False),
    Case(
        "3.4",
        "request before our SETTINGS are acknowledged",
        (PREFACE, settings(), headers(1)),
        answered(),
        handshake=False,
    ),
]

FRAME_CASES = [
    Case("4.1", "unknown type on the connection", (frame(0x16, 0, 0, bytes(8)),), ALIVE),
    Case("4.1", "unknown type on an idle stream", (frame(0x16, 0xFF, 9, bytes(8)),), ALIVE),
    Case("4.1", "undefined flags are ignored", (frame(PING, 0x16, 0, bytes(8)),), ALIVE),
    Case(
        "4.1",
        "undefined flags on HEADERS",
        (frame(HEADERS, END_HEADERS | END_STREAM | 0xD2, 1, HEAD_BLOCK),),
        answered(),
    ),
    Case("4.1", "reserved bit is ignored", (frame(PING, 0, 0x80000000, bytes(8)),), ALIVE),
    Case("4.2", "DATA of the greatest size", (OPEN, data(1, bytes(16384), end=True)), answered(body=bytes(16384))),
    Case("4.2", "DATA above it", (OPEN, data(1, bytes(16385), end=True)), connection_error(E.FRAME_SIZE_ERROR)),
    Case("4.2", "HEADERS above it", (frame(HEADERS, 5, 1, bytes(16385)),), connection_error(E.FRAME_SIZE_ERROR)),
    Case("4.2", "SETTINGS above it", (frame(SETTINGS, 0, 0, bytes(16386)),), connection_error(E.FRAME_SIZE_ERROR)),
    Case("4.2", "unknown type above it", (frame(0x16, 0, 0, bytes(16385)),), connection_error(E.FRAME_SIZE_ERROR)),
    Case(
        "4.2",
        "greater frames when we allow them",
        (OPEN, data(1, bytes(20000), end=True)),
        answered(body=bytes(20000)),
        options=Http2Options(frame_bytes=32768),
        h2_differs="h2 keeps to the default until its SETTINGS are acknowledged a second time",
    ),
    Case(
        "4.3",
        "PRIORITY within a header block",
        (
            frame(HEADERS, END_STREAM, 1, HEAD_BLOCK[:5]),
            priority(1, 3),
            frame(CONTINUATION, END_HEADERS, 1, HEAD_BLOCK[5:]),
        ),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "4.3",
        "HEADERS of another stream within a header block",
        (frame(HEADERS, END_STREAM, 1, HEAD_BLOCK[:5]), headers(3)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "5.5",
        "unknown type within a header block",
        (frame(HEADERS, END_STREAM, 1, HEAD_BLOCK[:5]), frame(0x16, 0, 0, b"")),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case("5.5", "unknown setting", (setting(0xABCD, 5),), ALIVE),
]

DATA_CASES = [
    Case("6.1", "DATA on stream 0", (data(0, b"x"),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.1", "padded DATA", (OPEN, frame(DATA, PADDED | END_STREAM, 1, b"\x03body\0\0\0")), answered(body=b"body")),
    Case(
        "6.1", "DATA of padding alone", (OPEN, frame(DATA, PADDED | END_STREAM, 1, b"\x03\0\0\0")), answered(body=b"")
    ),
    Case(
        "6.1",
        "padding as long as the payload",
        (OPEN, frame(DATA, PADDED, 1, b"\x04\0\0\0")),
        connection_error(E.PROTOCOL_ERROR, E.FRAME_SIZE_ERROR),
    ),
    Case(
        "6.1",
        "padded DATA without padding length",
        (OPEN, frame(DATA, PADDED, 1, b"")),
        connection_error(E.FRAME_SIZE_ERROR, E.PROTOCOL_ERROR),
    ),
    Case(
        "6.1",
        "DATA on a half-closed stream",
        (headers(1), data(1, b"x")),
        stream_error(1, E.STREAM_CLOSED),
        answers=False,
    ),
    Case("6.1", "empty DATA that ends", (OPEN, data(1, end=True)), answered(body=b"")),
]

HEADERS_CASES = [
    Case("6.2", "HEADERS on stream 0", (headers(0),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.2", "padded HEADERS", (frame(HEADERS, PADDED | 5, 1, b"\x02" + HEAD_BLOCK + bytes(2)),), answered()),
    Case(
        "6.2",
        "HEADERS with priority",
        (frame(HEADERS, WITH_PRIORITY | 5, 1, u32(0x80000003) + b"\xff" + HEAD_BLOCK),),
        answered(),
    ),
    Case(
        "6.2",
        "padded HEADERS with priority",
        (frame(HEADERS, WITH_PRIORITY | PADDED | 5, 1, b"\x01" + u32(0) + b"\x0f" + HEAD_BLOCK + b"\0"),),
        answered(),
    ),
    Case(
        "6.2",
        "too much padding",
        (frame(HEADERS, PADDED | 5, 1, b"\xff" + HEAD_BLOCK),),
        connection_error(E.PROTOCOL_ERROR, E.FRAME_SIZE_ERROR),
    ),
    Case(
        "6.2",
        "no room for the padding length",
        (frame(HEADERS, PADDED | 5, 1, b""),),
        connection_error(E.FRAME_SIZE_ERROR, E.PROTOCOL_ERROR),
    ),
    Case(
        "6.2",
        "no room for priority",
        (frame(HEADERS, WITH_PRIORITY | 5, 1, bytes(4)),),
        connection_error(E.FRAME_SIZE_ERROR, E.PROTOCOL_ERROR),
    ),
]

PRIORITY_CASES = [
    Case("6.3", "PRIORITY on an idle stream", (priority(9, 7),), ALIVE),
    Case("6.3", "PRIORITY on a closed stream", (headers(1), priority(1, 3)), answered()),
    Case("6.3", "PRIORITY on stream 0", (priority(0),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.3", "PRIORITY too short", (OPEN, frame(PRIORITY, 0, 1, bytes(4))), stream_error(1, E.FRAME_SIZE_ERROR)),
    Case(
        "6.3",
        "PRIORITY too short on an idle stream",
        (frame(PRIORITY, 0, 1, bytes(4)),),
        connection_error(E.FRAME_SIZE_ERROR),
    ),
    Case("5.3", "PRIORITY that depends on itself", (OPEN, priority(1, 1)), stream_error(1, E.PROTOCOL_ERROR)),
    Case(
        "5.3",
        "HEADERS that depend on themselves",
        (frame(HEADERS, WITH_PRIORITY | 5, 1, u32(1) + b"\0" + HEAD_BLOCK),),
        stream_error(1, E.PROTOCOL_ERROR),
    ),
]

RESET_CASES = [
    Case("6.4", "RST_STREAM on stream 0", (reset(0),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.4", "RST_STREAM on an idle stream", (reset(1),), connection_error(E.PROTOCOL_ERROR)),
    Case(
        "6.4", "RST_STREAM too short", (OPEN, frame(RST_STREAM, 0, 1, bytes(3))), connection_error(E.FRAME_SIZE_ERROR)
    ),
    Case("6.4", "RST_STREAM on an open stream", (OPEN, reset(1)), ALIVE),
    Case("6.4", "RST_STREAM on a closed stream", (headers(1), reset(1)), ALIVE),
    Case("7", "unknown code in RST_STREAM", (OPEN, reset(1, 0xFF)), ALIVE),
    Case(
        "7",
        "unknown code in GOAWAY",
        (frame(GOAWAY, 0, 0, u32(0) + u32(0xFF)),),
        ALIVE,
        h2_differs="h2 closes at GOAWAY",
    ),
]

SETTINGS_CASES = [
    Case(
        "6.5",
        "acknowledgement with a payload",
        (frame(SETTINGS, ACK, 0, bytes(6)),),
        connection_error(E.FRAME_SIZE_ERROR),
        h2_differs="PROTOCOL_ERROR instead",
    ),
    Case("6.5", "SETTINGS on a stream", (frame(SETTINGS, 0, 1),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.5", "SETTINGS of an odd size", (frame(SETTINGS, 0, 0, bytes(5)),), connection_error(E.FRAME_SIZE_ERROR)),
    Case("6.5", "unasked acknowledgement", (frame(SETTINGS, ACK, 0),), ALIVE),
    Case("6.5.2", "ENABLE_PUSH of 2", (setting(2, 2),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.5.2", "ENABLE_PUSH of 1", (setting(2, 1),), ALIVE),
    Case("6.5.2", "window above 2^31-1", (setting(4, 2**31),), connection_error(E.FLOW_CONTROL_ERROR)),
    Case("6.5.2", "frame size below 2^14", (setting(5, 16383),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.5.2", "frame size above 2^24-1", (setting(5, 2**24),), connection_error(E.PROTOCOL_ERROR)),
    Case(
        "6.5.2", "bad value behind good ones", (settings((3, 1), (4, 100), (2, 9)),), connection_error(E.PROTOCOL_ERROR)
    ),
    Case(
        "6.5.2",
        "all lawful values",
        (settings((1, 0), (2, 0), (3, 0), (4, MAX_WINDOW), (5, 2**24 - 1), (6, 0)),),
        ALIVE,
    ),
    Case("6.5.3", "one setting twice", (settings((4, 1), (4, 2), (4, 60000)), headers(1)), answered()),
]

PUSH_CASES = [
    Case(
        "6.6",
        "PUSH_PROMISE from a client",
        (OPEN, frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + HEAD_BLOCK)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.6",
        "PUSH_PROMISE on stream 0",
        (frame(PUSH_PROMISE, END_HEADERS, 0, u32(2) + HEAD_BLOCK),),
        connection_error(E.PROTOCOL_ERROR),
    ),
]

PING_CASES = [
    Case("6.7", "PING", (frame(PING, 0, 0, b"12345678"),), ALIVE),
    Case("6.7", "unasked PING acknowledgement", (frame(PING, ACK, 0, b"12345678"),), ALIVE),
    Case("6.7", "PING on a stream", (frame(PING, 0, 1, bytes(8)),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.7", "PING too short", (frame(PING, 0, 0, bytes(7)),), connection_error(E.FRAME_SIZE_ERROR)),
    Case(
        "6.7", "PING acknowledgement too long", (frame(PING, ACK, 0, bytes(9)),), connection_error(E.FRAME_SIZE_ERROR)
    ),
]

GOAWAY_CASES = [
    Case("6.8", "GOAWAY on a stream", (frame(GOAWAY, 0, 1, bytes(8)),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.8", "GOAWAY too short", (frame(GOAWAY, 0, 0, bytes(7)),), connection_error(E.FRAME_SIZE_ERROR)),
    Case(
        "6.8",
        "streams go on after GOAWAY",
        (OPEN, frame(GOAWAY, 0, 0, bytes(8)), data(1, b"x", end=True)),
        answered(body=b"x"),
        h2_differs="h2 closes at GOAWAY",
    ),
]

WINDOW_CASES = [
    Case("6.9", "increment of 0 on the connection", (window_update(0, 0),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.9", "increment of 0 on a stream", (OPEN, window_update(1, 0)), stream_error(1, E.PROTOCOL_ERROR)),
    Case(
        "6.9",
        "WINDOW_UPDATE too short",
        (OPEN, frame(WINDOW_UPDATE, 0, 1, bytes(3))),
        connection_error(E.FRAME_SIZE_ERROR),
    ),
    Case("6.9", "WINDOW_UPDATE on an idle stream", (window_update(1, 1),), connection_error(E.PROTOCOL_ERROR)),
    Case("6.9", "WINDOW_UPDATE on a closed stream", (headers(1), window_update(1, 10)), answered()),
    Case(
        "6.9",
        "reserved bit is ignored",
        (OPEN, window_update(1, 0x80000001)),
        ALIVE,
        h2_differs="its frame layer refuses it",
    ),
    Case(
        "6.9.1",
        "the connection's window overflows",
        (window_update(0, MAX_WINDOW), window_update(0, MAX_WINDOW)),
        connection_error(E.FLOW_CONTROL_ERROR),
    ),
    Case(
        "6.9.1",
        "a stream's window overflows",
        (OPEN, window_update(1, MAX_WINDOW)),
        stream_error(1, E.FLOW_CONTROL_ERROR),
    ),
    Case(
        "6.9.2",
        "SETTINGS make a stream's window overflow",
        (OPEN, window_update(1, 100_000), setting(4, MAX_WINDOW)),
        connection_error(E.FLOW_CONTROL_ERROR),
    ),
    Case(
        "6.9",
        "DATA into a window of 0",
        (OPEN, data(1, b"x")),
        stream_error(1, E.FLOW_CONTROL_ERROR),
        options=Http2Options(stream_window_bytes=0),
    ),
]

CONTINUATION_CASES = [
    Case(
        "6.10",
        "two CONTINUATION frames",
        (
            frame(HEADERS, END_STREAM, 1, HEAD_BLOCK[:3]),
            frame(CONTINUATION, 0, 1, HEAD_BLOCK[3:7]),
            frame(CONTINUATION, END_HEADERS, 1, HEAD_BLOCK[7:]),
        ),
        answered(),
    ),
    Case(
        "6.10",
        "empty CONTINUATION",
        (frame(HEADERS, END_STREAM, 1, HEAD_BLOCK), frame(CONTINUATION, END_HEADERS, 1)),
        answered(),
    ),
    Case(
        "6.10",
        "DATA within a header block",
        (frame(HEADERS, 0, 1, HEAD_BLOCK), data(1, b"x")),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.10",
        "CONTINUATION on stream 0",
        (frame(HEADERS, END_STREAM, 1, HEAD_BLOCK), frame(CONTINUATION, END_HEADERS, 0)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.10",
        "CONTINUATION of another stream",
        (frame(HEADERS, END_STREAM, 1, HEAD_BLOCK), frame(CONTINUATION, END_HEADERS, 3)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.10",
        "CONTINUATION after END_HEADERS",
        (headers(1, end=False), frame(CONTINUATION, END_HEADERS, 1)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.10",
        "CONTINUATION after the last CONTINUATION",
        (frame(HEADERS, 0, 1, HEAD_BLOCK), frame(CONTINUATION, END_HEADERS, 1), frame(CONTINUATION, END_HEADERS, 1)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.10",
        "CONTINUATION after DATA",
        (OPEN, data(1, b"x"), frame(CONTINUATION, END_HEADERS, 1)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.10",
        "CONTINUATION on an idle stream",
        (frame(CONTINUATION, END_HEADERS, 1, HEAD_BLOCK),),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case(
        "6.10",
        "trailers in two frames",
        (
            OPEN,
            frame(HEADERS, END_STREAM, 1, block((b"a", b"b"))[:2]),
            frame(CONTINUATION, END_HEADERS, 1, block((b"a", b"b"))[2:]),
        ),
        answered(),
    ),
    Case(
        "6.10",
        "SETTINGS within a header block",
        (frame(HEADERS, 0, 1, HEAD_BLOCK), settings()),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case("6.2", "trailers after the head", (OPEN, trailers(1, (b"a", b"b"))), answered()),
]

CASES = [
    *PREFACE_CASES,
    *FRAME_CASES,
    *DATA_CASES,
    *HEADERS_CASES,
    *PRIORITY_CASES,
    *RESET_CASES,
    *SETTINGS_CASES,
    *PUSH_CASES,
    *PING_CASES,
    *GOAWAY_CASES,
    *WINDOW_CASES,
    *CONTINUATION_CASES,
]


@pytest.mark.parametrize(("engine", "case"), parameters(CASES))
def test_case(engine: str, case: Case) -> None:
    run(engine, case)
