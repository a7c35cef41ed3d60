"""Decides: what a peer may make us do for nothing: two budgets that refill with useful work and with time.

* resets: streams that end early, whoever caused it (the peer's RST_STREAM, or ours because it broke a rule: both are
  known attacks, CVE-2023-44487 and CVE-2025-8671). Every stream that ends well gives one back.
* idle frames: frames that carry nothing. Useful frames in either direction refill it at once: a client of a busy watch
  sends nothing but window updates and pings, and that is right.

A gRPC connection lives for millions of calls, so nothing here counts over a lifetime.
"""

from __future__ import annotations

from dualmode import limits
from dualmode.http.interface import ErrorCode
from dualmode.http.native.faults import ConnectionFaultError


class Budgets:
    """Plain counters; the connection's hot path writes `resets_left` and `idle_frames_left` directly."""

    __slots__ = ("idle_frames_left", "refilled_at", "resets_left")

    def __init__(self) -> None:
        self.resets_left = limits.HTTP2_RESET_BUDGET
        self.idle_frames_left = limits.HTTP2_IDLE_FRAMES_BUDGET
        self.refilled_at = 0.0

    def charge_reset(self) -> None:
        """A stream ended early. Raises ConnectionFaultError when there were too many."""
        self.resets_left -= 1
        if self.resets_left < 0:
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")

    def charge_idle_frame(self, cost: int = 1) -> None:
        """A frame that carries nothing came. Raises ConnectionFaultError when there were too many."""
        self.idle_frames_left -= cost
        if self.idle_frames_left < 0:
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def refill(self, now: float) -> None:
        """Gives back what time heals."""
        seconds = now - self.refilled_at
        if seconds < 1.0:
            return
        self.refilled_at = now
        self.resets_left = min(
            limits.HTTP2_RESET_BUDGET, self.resets_left + int(seconds * limits.HTTP2_RESETS_PER_SECOND)
        )
        self.idle_frames_left = min(
            limits.HTTP2_IDLE_FRAMES_BUDGET,
            self.idle_frames_left + int(seconds * limits.HTTP2_IDLE_FRAMES_PER_SECOND),
        )
