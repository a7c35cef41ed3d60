"""Does: what Raft and its peers say to each other, between the replica's turns and the transport.

What arrives is only kept here until the replica's next turn: reading a connection never runs consensus. What Raft sends
leaves at once, without waiting for anybody; a snapshot is made on the side by whoever sends snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dualmode import limits, log
from dualmode.member.merging import merged
from dualmode.raft import Message, MessageType, RaftError, RawNode

_log = log.get("raft")


class Peers(Protocol):
    """The way to the other members, as the replica uses it (`peer.transport`, or a simulated network)."""

    def send(self, messages: Sequence[Message]) -> None:
        """Sends what can be sent now and forgets the rest, which it reports. Never blocks."""


class NoPeers:
    """The way to nobody: of a member that is alone for good (tools, tests)."""

    def send(self, messages: Sequence[Message]) -> None:
        """There is nobody."""


class PeerExchange:
    """Messages of one member's Raft node, in and out."""

    def __init__(self, node: RawNode, wake: Callable[[], None]) -> None:
        self._node = node
        self._wake = wake
        self._arrived: list[Message] = []
        self._reports: list[tuple[int, bool | None]] = []
        #: Set when there are peers.
        self.peers: Peers = NoPeers()
        #: Makes and sends the snapshot that Raft wants a peer to have.
        self.send_snapshot: Callable[[Message], None] = lambda message: None
        #: Hears of every snapshot that has been reported on.
        self.on_snapshot_reported: Callable[[int], None] = lambda member_id: None
        self.dropped = 0
        #: (term, index) of the last acknowledgement to each member since the last tick.
        self._acknowledged: dict[int, tuple[int, int]] = {}

    @property
    def has_arrived(self) -> bool:
        """Whether `take_in` has something to do."""
        return bool(self._arrived or self._reports)

    # --- What the transport calls -------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """A peer says something. What finds no room is lost, as on a network: Raft asks again."""
        if len(self._arrived) >= limits.ARRIVED_MESSAGES:
            self.dropped += 1
            return
        self._arrived.append(message)
        self._wake()

    def report_unreachable(self, member_id: int) -> None:
        """Something for this peer could not be sent."""
        self._report(member_id, None)

    def report_snapshot(self, member_id: int, ok: bool) -> None:
        """A snapshot was taken by this peer, or was not. Every one that Raft wanted sent ends with such a report."""
        self.on_snapshot_reported(member_id)
        self._report(member_id, ok)

    def _report(self, member_id: int, ok: bool | None) -> None:
        if (member_id, ok) not in self._reports:
            self._reports.append((member_id, ok))
        self._wake()

    # --- What the replica calls ---------------------------------------------------------------------------------

    def take_in(self) -> None:
        """Tells the node everything that has arrived since the last time."""
        arrived, self._arrived = self._arrived, []
        reports, self._reports = self._reports, []
        node = self._node
        for message in arrived:
            try:
                node.step(message)
            except RaftError as error:
                _log.debug("a message from a peer was refused", error=str(error), sender=f"{message.sender:x}")
        for member_id, ok in reports:
            if ok is None:
                node.report_unreachable(member_id)
            else:
                node.report_snapshot(member_id, ok)

    def tick(self) -> None:
        """Time has passed: an acknowledgement of before may have been lost, so it is given again."""
        self._acknowledged.clear()

    def send(self, messages: Sequence[Message], commit_moved: bool = False) -> None:
        """Sends what a Ready says must be sent, with no more messages than it takes.

        `commit_moved`: the same Ready brings a new commit index.
        """
        to_peers: list[Message] = []
        for message in merged(messages):
            if message.type is MessageType.SNAPSHOT:
                self.send_snapshot(message)
            elif message.type is not MessageType.APPEND_RESPONSE or not self._says_nothing(message, commit_moved):
                to_peers.append(message)
        if to_peers:
            self.peers.send(to_peers)

    def _says_nothing(self, message: Message, commit_moved: bool) -> bool:
        """Whether the leader has this acknowledgement already: where an append brought nothing but a commit index, an
        answer tells it nothing. One that it waits for, because an answer was lost, it gets after the next tick: it
        asks again with its heartbeats."""
        if message.reject:
            return False
        said = message.term, message.index
        known = self._acknowledged.get(message.to)
        self._acknowledged[message.to] = said
        return commit_moved and known == said
