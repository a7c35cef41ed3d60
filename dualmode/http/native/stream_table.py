"""Decides: which streams a connection has, and the state of any stream number (RFC 9113 section 5.1)."""

from __future__ import annotations

from collections import OrderedDict, deque

from dualmode import limits
from dualmode.http.native import states
from dualmode.http.native.faults import ConnectionFaultError, StreamFaultError, protocol_error
from dualmode.http.native.frames import HEADERS, NAMES
from dualmode.http.native.stream import Stream


class StreamTable:
    """Open and half-closed streams by number (`live`), and what is left to know of the others.

    Only clients open streams here, for push is off: lawful numbers are odd and grow.
    """

    __slots__ = ("_resets", "_skipped", "highest", "live")

    def __init__(self) -> None:
        self.live: dict[int, Stream] = {}
        #: The greatest number used so far; -1 so that the next one is highest + 2.
        self.highest = -1
        self._resets: OrderedDict[int, int] = OrderedDict()
        self._skipped: deque[range] = deque(maxlen=limits.HTTP2_SKIPPED_RANGES)

    def state_of(self, stream_id: int) -> int:
        """A state of states.py."""
        stream = self.live.get(stream_id)
        if stream is not None:
            return stream.state
        if stream_id > self.highest or stream_id % 2 == 0:
            return states.IDLE
        return self._resets.get(stream_id, states.CLOSED)

    def judge(self, kind: int, stream_id: int) -> bool:
        """Whether a frame of this type has its place on this stream now; False when it is to be ignored.

        Raises ConnectionFaultError or StreamFaultError as the table of states.py says.
        """
        state = self.state_of(stream_id)
        scope, code = states.RECEIVED[state][kind]
        if scope == "accept":
            return True
        if scope == "ignore":
            return False
        text = f"{NAMES[kind]} on stream {stream_id}, which is {states.NAMES[state]}"
        if scope == "stream":
            raise StreamFaultError(stream_id, code, text)
        if kind == HEADERS and any(stream_id in skipped for skipped in self._skipped):
            raise protocol_error(f"stream {stream_id} opened after stream {self.highest}")
        raise ConnectionFaultError(code, text)

    def use_number(self, stream_id: int) -> None:
        """The client opens a stream, perhaps one that is refused at once. Numbers below are used up with it."""
        if stream_id % 2 == 0:
            raise protocol_error(f"a client opened stream {stream_id}")
        if stream_id != self.highest + 2:
            self._skipped.append(range(self.highest + 2, stream_id, 2))
        self.highest = stream_id

    def note_reset(self, stream_id: int, state: int) -> None:
        """A stream ended by RESET_BY_US or RESET_BY_PEER."""
        self._resets[stream_id] = state
        if len(self._resets) > limits.HTTP2_REMEMBERED_RESETS:
            self._resets.popitem(last=False)
