"""RFC 9113 section 5: what a frame means in each state of its stream, and the rules of stream numbers."""

import pytest

from dualmode.http.interface import ErrorCode as E
from dualmode.http.options import Http2Options
from tests.http.conformance import ALIVE, Case, answered, connection_error, judge, parameters, run, stream_error
from tests.http.wire import (
    CONTINUATION,
    END_HEADERS,
    Wire,
    data,
    frame,
    headers,
    priority,
    reset,
    trailers,
    window_update,
)

OPEN = headers(1, end=False)
CONTINUED = frame(CONTINUATION, END_HEADERS, 1)

IDLE = [
    Case("5.1 idle", "DATA", (data(1, b"x"),), connection_error(E.PROTOCOL_ERROR)),
    Case("5.1 idle", "RST_STREAM", (reset(1),), connection_error(E.PROTOCOL_ERROR)),
    Case("5.1 idle", "WINDOW_UPDATE", (window_update(1, 1),), connection_error(E.PROTOCOL_ERROR)),
    Case("5.1 idle", "CONTINUATION", (CONTINUED,), connection_error(E.PROTOCOL_ERROR)),
    Case("5.1 idle", "PRIORITY", (priority(1, 3),), ALIVE),
    Case("5.1 idle", "DATA on a stream of ours", (data(2, b"x"),), connection_error(E.PROTOCOL_ERROR)),
    Case(
        "5.1 idle",
        "WINDOW_UPDATE on a stream of ours",
        (headers(5), window_update(2, 1)),
        connection_error(E.PROTOCOL_ERROR),
    ),
    Case("5.1 idle", "HEADERS", (headers(1),), answered()),
]

HALF_CLOSED_REMOTE = [
    Case(
        "5.1 half-closed (remote)", "DATA", (headers(1), data(1, b"x")), stream_error(1, E.STREAM_CLOSED), answers=False
    ),
    Case(
        "5.1 half-closed (remote)",
        "DATA after DATA that ended",
        (OPEN, data(1, b"x", end=True), data(1, b"x")),
        stream_error(1, E.STREAM_CLOSED),
        answers=False,
    ),
    Case(
        "5.1 half-closed (remote)", "HEADERS", (headers(1), headers(1)), stream_error(1, E.STREAM_CLOSED), answers=False
    ),
    Case(
        "5.1 half-closed (remote)",
        "CONTINUATION",
        (headers(1), CONTINUED),
        connection_error(E.PROTOCOL_ERROR, E.STREAM_CLOSED),
        answers=False,
    ),
    Case("5.1 half-closed (remote)", "WINDOW_UPDATE", (headers(1), window_update(1, 1)), ALIVE, answers=False),
    Case("5.1 half-closed (remote)", "RST_STREAM", (headers(1), reset(1)), ALIVE, answers=False),
    Case("5.1 half-closed (remote)", "PRIORITY", (headers(1), priority(1, 3)), ALIVE, answers=False),
]

RESET = [
    Case("5.1 closed", "DATA after RST_STREAM", (OPEN, reset(1), data(1, b"x")), stream_error(1, E.STREAM_CLOSED)),
    Case("5.1 closed", "HEADERS after RST_STREAM", (OPEN, reset(1), headers(1)), stream_error(1, E.STREAM_CLOSED)),
    Case(
        "5.1 closed",
        "CONTINUATION after RST_STREAM",
        (OPEN, reset(1), CONTINUED),
        connection_error(E.PROTOCOL_ERROR, E.STREAM_CLOSED),
    ),
    Case("5.1 closed", "WINDOW_UPDATE after RST_STREAM", (OPEN, reset(1), window_update(1, 9)), ALIVE),
    Case("5.1 closed", "RST_STREAM twice", (OPEN, reset(1), reset(1)), ALIVE),
    Case("5.1 closed", "another stream after RST_STREAM", (OPEN, reset(1), headers(3)), answered(3)),
    Case("5.1 closed", "PRIORITY after RST_STREAM", (OPEN, reset(1), priority(1, 3)), ALIVE),
]

NUMBERS = [
    Case("5.1.1", "even number", (headers(2),), connection_error(E.PROTOCOL_ERROR)),
    Case("5.1.1", "lower number than one used", (headers(5), headers(3)), connection_error(E.PROTOCOL_ERROR)),
    Case("5.1.1", "numbers may be left out", (headers(1), headers(9), headers(11)), answered(1, 9, 11)),
    Case("5.1.1", "the greatest number", (headers(2**31 - 1),), answered(2**31 - 1)),
    Case(
        "5.1.2",
        "one stream too many",
        (OPEN, headers(3, end=False), headers(5, end=False)),
        stream_error(5, E.REFUSED_STREAM, E.PROTOCOL_ERROR),
        options=Http2Options(concurrent_streams=2),
    ),
    Case(
        "5.1.2",
        "as many as allowed",
        (OPEN, headers(3, end=False), data(1, end=True), headers(5)),
        ALIVE,
        options=Http2Options(concurrent_streams=3),
    ),
    Case(
        "5.1.2",
        "a stream that was reset does not count",
        (OPEN, reset(1), headers(3)),
        answered(3),
        options=Http2Options(concurrent_streams=1),
    ),
    Case(
        "5.1.2",
        "no streams at all",
        (headers(1),),
        stream_error(1, E.REFUSED_STREAM, E.PROTOCOL_ERROR),
        options=Http2Options(concurrent_streams=0),
    ),
]


@pytest.mark.parametrize(("engine", "case"), parameters([*IDLE, *HALF_CLOSED_REMOTE, *RESET, *NUMBERS]))
def test_case(engine: str, case: Case) -> None:
    run(engine, case)


# Ended by both sides: the frames below come after the answer.
CLOSED = [
    Case("5.1 closed", "DATA", (data(1, b"x"),), connection_error(E.STREAM_CLOSED), h2_differs="h2 resets the stream"),
    Case("5.1 closed", "HEADERS", (headers(1),), connection_error(E.STREAM_CLOSED)),
    Case("5.1 closed", "trailers", (trailers(1, (b"a", b"b")),), connection_error(E.STREAM_CLOSED)),
    Case("5.1 closed", "CONTINUATION", (CONTINUED,), connection_error(E.PROTOCOL_ERROR, E.STREAM_CLOSED)),
    Case("5.1 closed", "WINDOW_UPDATE", (window_update(1, 9),), ALIVE),
    Case("5.1 closed", "RST_STREAM", (reset(1),), ALIVE),
    Case("5.1 closed", "PRIORITY", (priority(1, 3),), ALIVE),
]


@pytest.mark.parametrize(("engine", "case"), parameters(CLOSED))
def test_closed_by_both(engine: str, case: Case) -> None:
    opened = Case(case.clause, case.what, (headers(1), *case.frames), case.outcome)
    run_in_two_reads(engine, opened)


def run_in_two_reads(engine: str, case: Case) -> None:
    """The first frame is answered before the others come."""
    wire = Wire(engine)
    wire.feed(case.frames[0])
    wire.feed(*case.frames[1:])
    judge(wire, case.outcome, exact=engine == "native")


# Reset by us: what was on its way is dropped.
@pytest.mark.parametrize("late", [data(1, b"x"), headers(1), trailers(1, (b"a", b"b")), window_update(1, 9), reset(1)])
def test_frames_for_a_stream_we_reset_are_dropped(late: bytes) -> None:
    wire = Wire(answers=False)
    wire.feed(OPEN)
    wire.server.reset_stream(1, E.CANCEL)
    wire.feed(late, headers(3))
    assert [each.stream_id for each in wire.collect() if each.kind == 3] == [1]
    assert wire.ended is None
    assert [event.stream_id for event in wire.events] == [3]
