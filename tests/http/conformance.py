"""What a conformance case is, and how one is run: after a good handshake some frames are sent, one outcome must follow.

The tables are in test_conformance_*.py, ordered by clause of RFC 9113 and RFC 7541. `native` must give the outcome
exactly. `h2` may answer a stream error with a connection error (section 5.4.2 allows it); where it goes its own way for
good, the case says so in `h2_differs` and the test expects it to fail there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from dualmode.http.interface import ErrorCode, RequestReceived
from dualmode.http.options import Http2Options
from tests.http.wire import ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Wire, frame

PROBE = b"are you?"


@dataclass(frozen=True)
class ConnectionFails:
    """GOAWAY with one of the codes, and the end. The first code is ours."""

    codes: tuple[ErrorCode, ...]


@dataclass(frozen=True)
class StreamFails:
    """RST_STREAM with one of the codes on a stream; the connection lives."""

    stream_id: int
    codes: tuple[ErrorCode, ...]


@dataclass(frozen=True)
class Answered:
    """These streams are answered in full, and the connection lives."""

    stream_ids: tuple[int, ...]
    body: bytes | None = None


@dataclass(frozen=True)
class Alive:
    """A PING is answered, and no stream was reset."""


def connection_error(*codes: ErrorCode) -> ConnectionFails:
    return ConnectionFails(codes)


def stream_error(stream_id: int, *codes: ErrorCode) -> StreamFails:
    return StreamFails(stream_id, codes)


def answered(*stream_ids: int, body: bytes | None = None) -> Answered:
    return Answered(stream_ids or (1,), body)


ALIVE = Alive()


@dataclass(frozen=True)
class Case:
    clause: str
    what: str
    frames: tuple[bytes, ...]
    outcome: Any
    options: Http2Options = field(default_factory=Http2Options)
    answers: bool = True
    handshake: bool = True
    h2_differs: str = ""


def parameters(cases: list[Case]) -> list[Any]:
    """Every case on both engines."""
    found = []
    for engine in ("native", "h2"):
        for case in cases:
            marks = [pytest.mark.xfail(reason=case.h2_differs)] if case.h2_differs and engine == "h2" else []
            found.append(pytest.param(engine, case, id=f"{engine}-{case.clause} {case.what}", marks=marks))
    return found


def run(engine: str, case: Case) -> None:
    """Sends the frames, all in one read and then again one by one, and judges what came back."""
    for one_by_one in (False, True):
        wire = Wire(engine, options=case.options, answers=case.answers, handshake=case.handshake)
        if one_by_one:
            wire.each(case.frames)
        else:
            wire.feed(*case.frames)
        judge(wire, case.outcome, exact=engine == "native")


def judge(wire: Wire, outcome: Any, exact: bool) -> None:
    goaways = [each.code for each in wire.of_kind(GOAWAY)]
    resets = [(each.stream_id, each.code) for each in wire.of_kind(RST_STREAM)]
    if isinstance(outcome, ConnectionFails):
        assert goaways, "no GOAWAY"
        assert goaways[0] in (outcome.codes[:1] if exact else outcome.codes)
        assert wire.ended is not None
        assert wire.server.is_finished
        assert wire.server.receive(frame(PING, 0, 0, PROBE), 0.0) == []
        return
    if isinstance(outcome, StreamFails):
        wanted = [(outcome.stream_id, code) for code in outcome.codes]
        if not exact and goaways:
            assert goaways[0] in outcome.codes
            return
        assert [each for each in resets if each in wanted[: 1 if exact else None]], (resets, goaways)
        assert_alive(wire)
        return
    assert not goaways
    assert not resets
    if isinstance(outcome, Answered):
        ends = {each.stream_id for each in wire.frames if each.kind in (HEADERS, DATA) and each.flags & END_STREAM}
        assert set(outcome.stream_ids) <= ends
        if outcome.body is not None:
            assert [event.body for event in wire.events_of(RequestReceived)] == [outcome.body]
    assert_alive(wire)


def assert_alive(wire: Wire) -> None:
    wire.feed(frame(PING, 0, 0, PROBE))
    assert [each.payload for each in wire.of_kind(PING) if each.flags & ACK][-1:] == [PROBE]
    assert wire.ended is None
