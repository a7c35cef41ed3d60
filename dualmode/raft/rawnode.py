"""Decides: the core as its owner sees it: messages, ticks and proposals in, Readys out, acknowledgements in.

One task owns a `RawNode` and calls it; nothing here waits. The cycle is

    while node.has_ready():
        ready = node.ready()
        persist, send, apply            (in the order that `Ready` states)
        node.advance(ready)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dualmode.raft import membership, proposals, ticking
from dualmode.raft.changes import AnyConfChange
from dualmode.raft.config import Config
from dualmode.raft.core import Core, RandomTimeout
from dualmode.raft.errors import LocalMessage, PeerNotFound, ProposalDropped, RaftError
from dualmode.raft.progress import Progress
from dualmode.raft.ready import EMPTY_HARD_STATE, Ready, accept, build
from dualmode.raft.step import step
from dualmode.raft.storage import Storage
from dualmode.raft.tracker import Configuration
from dualmode.raft.types import (
    APPEND_THREAD,
    APPLY_THREAD,
    LOCAL_MESSAGES,
    NONE,
    RESPONSE_MESSAGES,
    ConfState,
    Entry,
    HardState,
    Logger,
    Message,
    MessageType,
    SoftState,
    StateType,
)

_LOCAL_THREADS = frozenset({APPEND_THREAD, APPLY_THREAD})
#: Messages that may come without a term. Forwarded requests never have one; a snapshot may be sent by hand.
_TERMLESS = frozenset(
    {
        MessageType.PROPOSAL,
        MessageType.READ_INDEX,
        MessageType.TRANSFER_LEADER,
        MessageType.FORGET_LEADER,
        MessageType.SNAPSHOT,
    }
)


@dataclass(frozen=True, slots=True)
class Status:
    """A picture of a node. `progress` is empty unless it leads."""

    id: int
    hard_state: HardState
    soft_state: SoftState
    applied: int
    transferee: int
    configuration: Configuration
    progress: dict[int, Progress]


def create_core(config: Config, storage: Storage, logger: Logger, random_timeout: RandomTimeout) -> Core:
    """A core that goes on where its storage ends. Raises `ValueError` for settings that cannot work."""
    config.check()
    hard_state, conf_state = storage.initial_state()
    core = Core(config, storage, logger, random_timeout)
    membership.restore_configuration(core, conf_state, core.log.last_index())
    if hard_state != EMPTY_HARD_STATE:
        _load_hard_state(core, hard_state)
    if config.applied > 0:
        core.log.applied_to(config.applied)
    core.become_follower(core.term, NONE)
    peers = ",".join(f"{voter:x}" for voter in core.tracker.configuration.voters())
    log = core.log
    logger.info(
        f"newRaft {core.id:x} [peers: [{peers}], term: {core.term}, commit: {log.commit}, applied: {log.applied}, "
        f"lastindex: {log.last_index()}, lastterm: {log.last_term()}]"
    )
    return core


def _load_hard_state(core: Core, state: HardState) -> None:
    if not core.log.commit <= state.commit <= core.log.last_index():
        core.fatal(
            f"{core.id:x} state.commit {state.commit} is out of range [{core.log.commit}, {core.log.last_index()}]"
        )
    core.term, core.vote, core.log.commit = state


class RawNode:
    """One Raft node. `random_timeout(n)` gives 0 <= x < n and is the only randomness.

    What is committed is applied in order; `apply_conf_change` must be called for each committed change, before the
    Ready that brought it is advanced. Raises `ValueError` for settings that cannot work, `BrokenInvariant` when the
    state of this node can no longer be trusted.
    """

    def __init__(self, config: Config, storage: Storage, logger: Logger, random_timeout: RandomTimeout) -> None:
        self.core = create_core(config, storage, logger, random_timeout)
        self.id = config.id
        self._shown_soft = self.core.soft_state()
        self._shown_hard = self.core.hard_state()
        self._outstanding: Ready | None = None
        self._steps_on_advance: list[Message] = []

    # --- looking ----------------------------------------------------------------------------------------------

    @property
    def term(self) -> int:
        return self.core.term

    @property
    def vote(self) -> int:
        return self.core.vote

    @property
    def leader(self) -> int:
        """Id of the leader as far as known, or 0."""
        return self.core.leader

    @property
    def state(self) -> StateType:
        return self.core.state

    @property
    def committed(self) -> int:
        return self.core.log.commit

    @property
    def applied(self) -> int:
        """Index up to which applying has been acknowledged."""
        return self.core.log.applied

    def status(self) -> Status:
        core = self.core
        leading = core.state == StateType.LEADER
        progress = {peer: record.clone() for peer, record in core.tracker.progress.items()} if leading else {}
        return Status(
            core.id,
            core.hard_state(),
            core.soft_state(),
            core.log.applied,
            core.transferee,
            core.tracker.configuration.clone(),
            progress,
        )

    # --- in ---------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One unit of time has passed."""
        ticking.tick(self.core)

    def step(self, message: Message) -> None:
        """A message from a peer or a local thread. Raises `LocalMessage`, `PeerNotFound`, `ProposalDropped`."""
        if message.sender not in _LOCAL_THREADS:
            if message.type in LOCAL_MESSAGES:
                raise LocalMessage
            if message.type in RESPONSE_MESSAGES and message.sender not in self.core.tracker.progress:
                raise PeerNotFound
            _check_from_peer(message)
        step(self.core, message)

    def campaign(self) -> None:
        """Stand for election now."""
        step(self.core, Message(MessageType.HUP))

    def propose(self, data: bytes) -> None:
        """Propose one entry here, or through the leader. Raises `ProposalDropped`."""
        self._propose_entry(Entry(data=data))

    def propose_conf_change(self, change: AnyConfChange) -> None:
        """Propose a change of members. A leader that may not accept it now commits an empty entry in its place.
        Raises `ProposalDropped`."""
        self._propose_entry(change.entry())

    def _propose_entry(self, entry: Entry) -> None:
        step(self.core, Message(MessageType.PROPOSAL, sender=self.id, entries=[entry]))

    def propose_many(self, batch: Sequence[bytes]) -> int:
        """Propose entries in one go, on the leader only. Returns the index of the first. Raises `ProposalDropped`."""
        if self.core.state != StateType.LEADER or not batch:
            raise ProposalDropped
        return proposals.propose_many(self.core, batch)

    def read_index(self, context: bytes) -> None:
        """Ask from which applied index on a read is linearizable: a `ReadState` with this context will tell, unless
        the leader is lost in between; then ask again."""
        step(self.core, Message(MessageType.READ_INDEX, entries=[Entry(data=context)]))

    def transfer_leader(self, to: int) -> None:
        """Ask the leader to hand over to node `to`."""
        step(self.core, Message(MessageType.TRANSFER_LEADER, sender=to))

    def forget_leader(self) -> None:
        """Give up the leader that is known, so that another one can be voted for."""
        step(self.core, Message(MessageType.FORGET_LEADER))

    def report_unreachable(self, peer: int) -> None:
        """The last message to `peer` could not be sent."""
        step(self.core, Message(MessageType.UNREACHABLE, sender=peer))

    def report_snapshot(self, peer: int, ok: bool) -> None:
        """The snapshot for `peer` has been sent, or could not be. Must be called for every one."""
        step(self.core, Message(MessageType.SNAPSHOT_STATUS, sender=peer, reject=not ok))

    def apply_conf_change(self, change: AnyConfChange, index: int = 0) -> ConfState:
        """A committed change takes effect. Returns the configuration to remember with the next snapshot.

        `index` is that of the change's entry. An owner that lets messages in between `ready` and the end of applying
        must give it: a snapshot may have come in meanwhile whose configuration already contains the change, which is
        then not made again.

        Peers may need a snapshot at once: one that the storage offers during this call must not claim the change's
        index yet, as its configuration is the former one.
        """
        if 0 < index <= self.core.restored_index:
            return self.core.tracker.configuration.conf_state()
        return membership.apply_change(self.core, change.as_v2())

    # --- out --------------------------------------------------------------------------------------------------

    def has_ready(self) -> bool:
        core = self.core
        unstable = core.log.unstable
        hard = core.term, core.vote, core.log.commit
        return bool(
            core.messages
            or core.messages_after_append
            or core.read_states
            or unstable.in_progress < unstable.offset + len(unstable.entries)
            or (hard != self._shown_hard and hard != EMPTY_HARD_STATE)
            or core.log.has_next_committed(allow_unstable=not core.config.async_storage_writes)
            or (core.leader, core.state) != self._shown_soft
            or unstable.next_snapshot() is not None
        )

    def ready(self) -> Ready:
        """Take the work there is. A synchronous node must `advance` before it takes the next."""
        if self._outstanding is not None:
            self.core.fatal("two accepted Ready structs without call to Advance")
        ready = build(self.core, self._shown_soft, self._shown_hard)
        if ready.soft_state is not None:
            self._shown_soft = ready.soft_state
        if ready.hard_state is not None:
            self._shown_hard = ready.hard_state
        self._steps_on_advance = accept(self.core, ready)
        if not self.core.config.async_storage_writes:
            self._outstanding = ready
        return ready

    def advance(self, ready: Ready) -> None:
        """Everything in `ready` is persisted and applied, or will be before a crash can forget it."""
        if self.core.config.async_storage_writes:
            self.core.fatal("Advance must not be called when using AsyncStorageWrites")
        assert ready is self._outstanding, "advance must be called with the Ready that was taken last"
        self._outstanding = None
        steps, self._steps_on_advance = self._steps_on_advance, []
        for message in steps:
            try:
                step(self.core, message)
            except RaftError as error:
                self.core.logger.debug(f"{self.id:x} own {message.type.printed} was refused: {error}")


def _check_from_peer(message: Message) -> None:
    """What no sound peer sends is refused here, so that it cannot break an invariant inside. Raises `RaftError`."""
    kind = message.type
    if message.term == 0 and kind not in _TERMLESS:
        raise RaftError(f"raft: {kind.printed} from {message.sender:x} has no term")
    if kind == MessageType.PROPOSAL and not message.entries:
        raise RaftError(f"raft: MsgProp from {message.sender:x} has no entries")
    if kind == MessageType.APPEND:
        for index, entry in enumerate(message.entries, message.index + 1):
            if entry.index != index:
                raise RaftError(
                    f"raft: MsgApp from {message.sender:x} after {message.index} has entry {entry.index} at {index}"
                )
