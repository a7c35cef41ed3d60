"""Decides: whether a client's connection may stay, by how many there are already, in all and from its address.

One that may not is closed at once: left in the kernel's queue it would look open to its client and hang.
"""

from __future__ import annotations

from dualmode import limits


class Admission:
    """The places for connections. One object may serve several listeners: it counts them together."""

    def __init__(self, connections: int = 0, connections_per_address: int = 0) -> None:
        """Limits; 0 is none."""
        self._limit = connections
        self._limit_per_address = connections_per_address
        self._of_address: dict[str, int] = {}
        self._log_at = 0.0
        #: Plain counts for the metrics: connections there are, and how many were closed for want of a place.
        self.open = self.refused = 0

    def refusal(self, address: str | None) -> str:
        """Why a connection from this address (None: a unix socket) may not stay; "" when it may."""
        if self._limit and self.open >= self._limit:
            return f"--max-connections={self._limit}"
        per_address = self._limit_per_address
        if per_address and address is not None and self._of_address.get(address, 0) >= per_address:
            return f"--max-connections-per-address={per_address}"
        return ""

    def enter(self, address: str | None) -> None:
        """It stays. `leave` is called once for it."""
        self.open += 1
        if self._limit_per_address and address is not None:
            self._of_address[address] = self._of_address.get(address, 0) + 1

    def leave(self, address: str | None) -> None:
        """It has ended: its place is free."""
        self.open -= 1
        if self._limit_per_address and address is not None:
            left = self._of_address[address] - 1
            if left:
                self._of_address[address] = left
            else:
                del self._of_address[address]

    def refuse(self, now: float) -> bool:
        """Counts one that was closed. True when that is worth a line in the log: the first one, then one in a while."""
        self.refused += 1
        if now < self._log_at:
            return False
        self._log_at = now + limits.REFUSAL_LOG_SECONDS
        return True


def host_of(address: object) -> str | None:
    """What counts as one address: the host of a socket address, IPv4 the same on every kind of listener. None for unix
    sockets, whose clients have none."""
    if not isinstance(address, tuple):
        return None
    return str(address[0]).removeprefix("::ffff:")
