"""Decides: the state of one Raft node, how it sends, and what a change of term or role resets.

The rules that act on this state lie beside it, one module per topic; `step` says which message goes to which of them.
Nothing here knows of time, threads or the network: ticks and messages come in, messages pile up in the two queues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from dualmode.raft.config import Config
from dualmode.raft.errors import fatal
from dualmode.raft.log import Log
from dualmode.raft.progress import Progress
from dualmode.raft.reads import ReadQueue
from dualmode.raft.storage import Storage
from dualmode.raft.tracker import Tracker
from dualmode.raft.types import (
    NONE,
    HardState,
    Logger,
    Message,
    MessageType,
    ReadState,
    SoftState,
    StateType,
)

#: Given n, a number 0 <= x < n: the randomness of election timeouts.
RandomTimeout = Callable[[int], int]

_VOTE_MESSAGES = frozenset(
    {MessageType.VOTE, MessageType.VOTE_RESPONSE, MessageType.PRE_VOTE, MessageType.PRE_VOTE_RESPONSE}
)
#: Forwarded ones keep term 0, so that the receiver treats them as its own.
_WITHOUT_TERM = frozenset({MessageType.PROPOSAL, MessageType.READ_INDEX})
#: Promises. They may leave only when everything unstable at the time of making them is on disk, so they wait in a
#: queue of their own; they may be addressed to the node itself (its own vote, a leader's own acknowledgement).
_AFTER_APPEND = frozenset({MessageType.APPEND_RESPONSE, MessageType.VOTE_RESPONSE, MessageType.PRE_VOTE_RESPONSE})


class Core:
    """The state of one node. Driven by `RawNode`; changed only by the modules of this package."""

    def __init__(self, config: Config, storage: Storage, logger: Logger, random_timeout: RandomTimeout) -> None:
        self.config = config
        self.id = config.id
        self.logger = logger
        self.random_timeout = random_timeout
        self.log = Log(storage, logger, config.max_committed_bytes)
        self.tracker = Tracker(config.max_inflight_messages, config.max_inflight_bytes)
        self.term = 0
        self.vote = NONE
        self.leader = NONE
        self.state = StateType.FOLLOWER
        self.is_learner = False
        #: Ticks since the last election event, and (leader) since the last heartbeat.
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.randomized_election_timeout = config.election_ticks
        #: The node a leadership transfer is running to, or none.
        self.transferee = NONE
        #: No further configuration change may be proposed until the log is applied up to here.
        self.pending_conf_index = 0
        #: Index of the last snapshot restored from a leader: the configuration is at least as new.
        self.restored_index = 0
        #: Payload proposed here and not yet applied; kept only while it is limited.
        self.uncommitted_size = 0
        self.reads = ReadQueue()
        self.read_states: list[ReadState] = []
        self.messages: list[Message] = []
        self.messages_after_append: list[Message] = []

    # --- looking ----------------------------------------------------------------------------------------------

    def soft_state(self) -> SoftState:
        return SoftState(self.leader, self.state)

    def hard_state(self) -> HardState:
        return HardState(self.term, self.vote, self.log.commit)

    def promotable(self) -> bool:
        """May become leader: a voter here, and not in the middle of restoring a snapshot."""
        own = self.tracker.progress.get(self.id)
        return own is not None and not own.is_learner and self.log.unstable.snapshot is None

    def describe_log_and_vote(self) -> str:
        """How lines about votes begin."""
        return f"{self.id:x} [logterm: {self.log.last_term()}, index: {self.log.last_index()}, vote: {self.vote:x}]"

    def fatal(self, text: str) -> NoReturn:
        fatal(self.logger, text)

    # --- sending ----------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Queue a message; it leaves with the next Ready."""
        kind = message.type
        if message.sender == NONE:
            message.sender = self.id
        if kind in _VOTE_MESSAGES:
            if message.term == 0:
                self.fatal(f"term should be set when sending {kind.printed}")
        else:
            if message.term != 0:
                self.fatal(f"term should not be set when sending {kind.printed} (was {message.term})")
            if kind not in _WITHOUT_TERM:
                message.term = self.term
        if kind in _AFTER_APPEND:
            self.messages_after_append.append(message)
            return
        if message.to == self.id:
            self.fatal(f"message should not be self-addressed when sending {kind.printed}")
        self.messages.append(message)

    # --- changing role ------------------------------------------------------------------------------------------

    def reset(self, term: int) -> None:
        """Forget everything that belonged to the former role; and the vote, if the term is a new one."""
        if self.term != term:
            self.term = term
            self.vote = NONE
        self.leader = NONE
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.draw_election_timeout()
        self.transferee = NONE
        tracker = self.tracker
        tracker.reset_votes()
        last = self.log.last_index()
        for peer, record in tracker.progress.items():
            match = last if peer == self.id else 0
            fresh = Progress(last + 1, tracker.new_inflights(), match=match, learner=record.is_learner)
            tracker.progress[peer] = fresh
        self.pending_conf_index = 0
        self.uncommitted_size = 0
        self.reads = ReadQueue()

    def draw_election_timeout(self) -> None:
        """Timeouts between one and two election timeouts keep candidates from colliding again and again."""
        ticks = self.config.election_ticks
        self.randomized_election_timeout = ticks + self.random_timeout(ticks)

    def become_follower(self, term: int, leader: int) -> None:
        self.reset(term)
        self.leader = leader
        self.state = StateType.FOLLOWER
        self.logger.info(f"{self.id:x} became follower at term {self.term}")

    def become_candidate(self) -> None:
        self.reset(self.term + 1)
        self.vote = self.id
        self.state = StateType.CANDIDATE
        self.logger.info(f"{self.id:x} became candidate at term {self.term}")

    def become_pre_candidate(self) -> None:
        """Asks whether an election could be won. Neither term nor vote change, so nobody is disturbed."""
        self.tracker.reset_votes()
        self.leader = NONE
        self.state = StateType.PRE_CANDIDATE
        self.logger.info(f"{self.id:x} became pre-candidate at term {self.term}")
