"""Decides: gRPC keepalive: when we ping a silent peer and give it up, and when its own pings are too many.

The rules are grpc's (its keepalive document, and the server flags of etcd that set the numbers). Both HTTP/2 engines
use this module; it speaks of pings, not of frames.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from dualmode import limits
from dualmode.http.options import Http2Options

#: The debug data of the GOAWAY; clients look for this very text and slow down.
TOO_MANY_PINGS: Final = b"too_many_pings"


class Due(Enum):
    """What the look at the clock found."""

    NOTHING = 0
    PING = 1
    GIVE_UP = 2


class PingEnforcement:
    """Server role: counts strikes for pings that come too soon. Anything we send for a call forgives all of them."""

    __slots__ = ("_idle_gap_seconds", "_last_ping_at", "_min_gap_seconds", "_strikes", "forgiven")

    def __init__(self, options: Http2Options) -> None:
        self._min_gap_seconds = options.keepalive_min_time_seconds
        self._idle_gap_seconds = (
            self._min_gap_seconds
            if options.keepalive_without_streams
            else max(self._min_gap_seconds, limits.GRPC_KEEPALIVE_IDLE_SECONDS)
        )
        self._last_ping_at: float | None = None
        self._strikes = 0
        #: Set by the connection when it sends HEADERS or DATA.
        self.forgiven = False

    def is_too_many(self, now: float, has_streams: bool) -> bool:
        """A ping came. True when it is one strike more than is forgiven."""
        if self._min_gap_seconds <= 0:
            return False
        last, self._last_ping_at = self._last_ping_at, now
        if self.forgiven or last is None:
            self.forgiven = False
            self._strikes = 0
            return False
        if now - last < (self._min_gap_seconds if has_streams else self._idle_gap_seconds):
            self._strikes += 1
        return self._strikes > limits.GRPC_PING_STRIKES


class Keepalive:
    """Both roles: pings a peer that has been silent, and gives it up when it stays so."""

    __slots__ = ("_interval_seconds", "_ping_sent_at", "_timeout_seconds", "last_heard_at")

    def __init__(self, options: Http2Options) -> None:
        self._interval_seconds = options.keepalive_interval_seconds
        self._timeout_seconds = options.keepalive_timeout_seconds
        self._ping_sent_at: float | None = None
        #: Written by the connection at every read.
        self.last_heard_at = 0.0

    def look(self, now: float, may_ping: bool) -> Due:
        """What is due now. `may_ping` is False while a ping would break the peer's rules."""
        if self._interval_seconds <= 0:
            return Due.NOTHING
        sent = self._ping_sent_at
        if sent is not None:
            if self.last_heard_at >= sent:
                self._ping_sent_at = None
            elif now - sent >= self._timeout_seconds:
                return Due.GIVE_UP
            else:
                return Due.NOTHING
        if may_ping and now - self.last_heard_at >= self._interval_seconds:
            self._ping_sent_at = now
            return Due.PING
        return Due.NOTHING
