"""Decides: what is counted of every method, as plain integers that the Prometheus collector reads."""

from __future__ import annotations

from dualmode.errors import Code
from dualmode.rpc.calls import Kind


class MethodCounters:
    """One method's calls. A unary call receives one message when it starts and sends one when it ends well, so for
    those only two numbers are kept."""

    __slots__ = ("_is_unary", "_received", "_sent", "failed", "ok", "received_bytes", "sent_bytes", "started")

    def __init__(self, kind: Kind) -> None:
        self._is_unary = kind is Kind.UNARY
        self.started = 0
        #: Ended with OK.
        self.ok = 0
        #: Ended otherwise, by code.
        self.failed: dict[Code, int] = {}
        #: Of messages, without headers; whole requests with their five bytes of frame.
        self.received_bytes = 0
        self.sent_bytes = 0
        self._received = 0
        self._sent = 0

    def ended(self, code: Code) -> None:
        """A call has ended."""
        if code is Code.OK:
            self.ok += 1
        else:
            self.failed[code] = self.failed.get(code, 0) + 1

    def handled(self, code: Code) -> int:
        """How many calls ended with this code."""
        return self.ok if code is Code.OK else self.failed.get(code, 0)

    def received_one(self, size_bytes: int) -> None:
        """A request message of a stream."""
        self._received += 1
        self.received_bytes += size_bytes

    def received_many(self, count: int, size_bytes: int) -> None:
        """Several of them."""
        self._received += count
        self.received_bytes += size_bytes

    def sent_one(self, size_bytes: int) -> None:
        """A response message of a stream."""
        self._sent += 1
        self.sent_bytes += size_bytes

    def sent_many(self, count: int, size_bytes: int) -> None:
        """Several of them."""
        self._sent += count
        self.sent_bytes += size_bytes

    @property
    def messages_received(self) -> int:
        return self.started if self._is_unary else self._received

    @property
    def messages_sent(self) -> int:
        return self.ok if self._is_unary else self._sent
