"""The table of states is complete, and agrees with the flags the hot path looks at."""

from __future__ import annotations

import pytest

from dualmode.http.native import states
from dualmode.http.native.faults import ConnectionFaultError, StreamFaultError
from dualmode.http.native.frames import DATA, HEADERS, RST_STREAM, WINDOW_UPDATE
from dualmode.http.native.stream import Stream
from dualmode.http.native.stream_table import StreamTable

KINDS = (DATA, HEADERS, RST_STREAM, WINDOW_UPDATE)
ALL = range(len(states.NAMES))


@pytest.mark.parametrize("state", ALL)
def test_every_frame_has_a_verdict(state: int) -> None:
    assert set(states.RECEIVED[state]) == set(KINDS)
    for scope, _ in states.RECEIVED[state].values():
        assert scope in {"accept", "ignore", "stream", "connection"}


@pytest.mark.parametrize("state", [states.OPEN, states.HALF_CLOSED_LOCAL, states.HALF_CLOSED_REMOTE])
def test_the_hot_path_asks_the_same_question(state: int) -> None:
    may_send = states.RECEIVED[state][DATA] == states.ACCEPT
    assert may_send == (state <= states.HALF_CLOSED_LOCAL)


def table(state: int) -> StreamTable:
    """Stream 5 in a state; 3 was left out, 7 is the highest."""
    made = StreamTable()
    for stream_id in (1, 5, 7):
        made.use_number(stream_id)
    if state in (states.OPEN, states.HALF_CLOSED_LOCAL, states.HALF_CLOSED_REMOTE):
        made.live[5] = Stream(5, state, None, 0, -1, 0, 0)
    elif state in (states.RESET_BY_PEER, states.RESET_BY_US):
        made.note_reset(5, state)
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", ALL)
def test_the_verdict_is_carried_out(state: int, kind: int) -> None:
    stream_id = 9 if state == states.IDLE else 5
    made = table(state)
    assert made.state_of(stream_id) == state
    scope, code = states.RECEIVED[state][kind]
    if scope == "connection":
        with pytest.raises(ConnectionFaultError) as caught:
            made.judge(kind, stream_id)
        assert caught.value.code == code
        assert states.NAMES[state] in str(caught.value)
    elif scope == "stream":
        with pytest.raises(StreamFaultError) as fault:
            made.judge(kind, stream_id)
        assert (fault.value.stream_id, fault.value.code) == (stream_id, code)
    else:
        assert made.judge(kind, stream_id) == (scope == "accept")


def test_numbers_left_out_are_told_from_closed_ones() -> None:
    made = table(states.CLOSED)
    with pytest.raises(ConnectionFaultError, match="opened after"):
        made.judge(HEADERS, 3)
    with pytest.raises(ConnectionFaultError, match="closed"):
        made.judge(HEADERS, 5)
    assert made.state_of(2) == states.IDLE
