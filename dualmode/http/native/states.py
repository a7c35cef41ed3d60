"""Decides: the states of a stream (RFC 9113 section 5.1) and, as one table, what each arriving frame means in each.

A stream object exists while the stream is open or half-closed. The other states follow from the stream's number and a
short memory of resets, so an ended stream costs nothing:

* idle: the number is above every one used so far;
* reset by us: frames for it may have been on their way; they are dropped (but header blocks are still decoded, since
  they change the compression state of the connection, and DATA still counts against the connection's window);
* reset by the peer: it promised silence, so more frames are its fault, but the fault of that stream only;
* closed: both sides said END_STREAM. More DATA or HEADERS is a fault of the connection.

The states are small ints in this order because the hot path asks `state <= HALF_CLOSED_LOCAL`: may the peer send?
"""

from __future__ import annotations

from typing import Final

from dualmode.http.interface import ErrorCode
from dualmode.http.native.frames import DATA, HEADERS, RST_STREAM, WINDOW_UPDATE

IDLE: Final = 0
OPEN: Final = 1
HALF_CLOSED_LOCAL: Final = 2
HALF_CLOSED_REMOTE: Final = 3
CLOSED: Final = 4
RESET_BY_PEER: Final = 5
RESET_BY_US: Final = 6

NAMES: Final = (
    "idle",
    "open",
    "half-closed (local)",
    "half-closed (remote)",
    "closed",
    "reset by its sender",
    "reset",
)

#: The state after END_STREAM from the peer, and after ours.
AFTER_PEER_END: Final = {OPEN: HALF_CLOSED_REMOTE, HALF_CLOSED_LOCAL: CLOSED}
AFTER_OUR_END: Final = {OPEN: HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE: CLOSED}

#: Verdicts. An error is (scope, code).
ACCEPT: Final = ("accept", ErrorCode.NO_ERROR)
IGNORE: Final = ("ignore", ErrorCode.NO_ERROR)
_IDLE_FAULT: Final = ("connection", ErrorCode.PROTOCOL_ERROR)
_CLOSED_FAULT: Final = ("connection", ErrorCode.STREAM_CLOSED)
_STREAM_FAULT: Final = ("stream", ErrorCode.STREAM_CLOSED)

#: state -> frame type -> verdict. PRIORITY is lawful in every state; CONTINUATION is judged by the block it continues.
RECEIVED: Final = {
    IDLE: {
        DATA: _IDLE_FAULT,
        HEADERS: ACCEPT,
        RST_STREAM: _IDLE_FAULT,
        WINDOW_UPDATE: _IDLE_FAULT,
    },
    OPEN: {DATA: ACCEPT, HEADERS: ACCEPT, RST_STREAM: ACCEPT, WINDOW_UPDATE: ACCEPT},
    # We have ended our half; the peer may go on, and credit what it will never be sent.
    HALF_CLOSED_LOCAL: {DATA: ACCEPT, HEADERS: ACCEPT, RST_STREAM: ACCEPT, WINDOW_UPDATE: ACCEPT},
    # The peer has ended its half: only control frames may follow.
    HALF_CLOSED_REMOTE: {
        DATA: _STREAM_FAULT,
        HEADERS: _STREAM_FAULT,
        RST_STREAM: ACCEPT,
        WINDOW_UPDATE: ACCEPT,
    },
    # Credit and resets may cross our END_STREAM on the wire.
    CLOSED: {DATA: _CLOSED_FAULT, HEADERS: _CLOSED_FAULT, RST_STREAM: IGNORE, WINDOW_UPDATE: IGNORE},
    RESET_BY_PEER: {DATA: _STREAM_FAULT, HEADERS: _STREAM_FAULT, RST_STREAM: IGNORE, WINDOW_UPDATE: IGNORE},
    RESET_BY_US: {DATA: IGNORE, HEADERS: IGNORE, RST_STREAM: IGNORE, WINDOW_UPDATE: IGNORE},
}
