"""Decides: who belongs to the group, what each of them has, and what they have voted.

The configuration and the progress map always change together: `install` is the only way in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dualmode.raft import quorum
from dualmode.raft.progress import Inflights, Progress
from dualmode.raft.types import NO_LIMIT, ConfState


@dataclass(slots=True)
class Configuration:
    """Members by part. `outgoing` is not empty while the configuration is joint; `learners_next` are voters of the
    outgoing half that become learners when the joint configuration is left."""

    incoming: set[int] = field(default_factory=set)
    outgoing: set[int] = field(default_factory=set)
    learners: set[int] = field(default_factory=set)
    learners_next: set[int] = field(default_factory=set)
    auto_leave: bool = False

    @property
    def joint(self) -> bool:
        return bool(self.outgoing)

    def clone(self) -> Configuration:
        return Configuration(
            set(self.incoming), set(self.outgoing), set(self.learners), set(self.learners_next), self.auto_leave
        )

    def voters(self) -> list[int]:
        """Voters of either half, ascending."""
        return sorted(self.incoming | self.outgoing)

    def conf_state(self) -> ConfState:
        return ConfState(
            voters=tuple(sorted(self.incoming)),
            learners=tuple(sorted(self.learners)),
            voters_outgoing=tuple(sorted(self.outgoing)),
            learners_next=tuple(sorted(self.learners_next)),
            auto_leave=self.auto_leave,
        )


ProgressMap = dict[int, Progress]


class Tracker:
    """Configuration, progress and votes of one group, as one of its nodes sees them."""

    __slots__ = ("configuration", "ids", "max_inflight", "max_inflight_bytes", "progress", "votes")

    def __init__(self, max_inflight: int, max_inflight_bytes: int = NO_LIMIT) -> None:
        self.max_inflight = max_inflight
        self.max_inflight_bytes = max_inflight_bytes
        self.configuration = Configuration()
        self.progress: ProgressMap = {}
        #: Ids of the progress map, ascending: the order in which everybody is written to.
        self.ids: tuple[int, ...] = ()
        self.votes: dict[int, bool] = {}

    def install(self, configuration: Configuration, progress: ProgressMap) -> None:
        self.configuration = configuration
        self.progress = progress
        self.ids = tuple(sorted(progress))

    def new_inflights(self) -> Inflights:
        return Inflights(self.max_inflight, self.max_inflight_bytes)

    def others(self, own_id: int) -> Iterable[int]:
        return [peer for peer in self.ids if peer != own_id]

    @property
    def singleton(self) -> bool:
        """One voter, and not on the way to another configuration."""
        return len(self.configuration.incoming) == 1 and not self.configuration.outgoing

    def committed(self) -> int:
        """The index that a quorum is known to have."""
        progress, configuration = self.progress, self.configuration
        if self.singleton:
            (voter,) = configuration.incoming
            return progress[voter].match
        matches = {peer: record.match for peer, record in progress.items()}
        return quorum.joint_committed(configuration.incoming, configuration.outgoing, matches)

    def quorum_active(self) -> bool:
        """Whether a quorum has been heard of lately."""
        active = {peer: record.recently_active for peer, record in self.progress.items() if not record.is_learner}
        return self._decide(active) == quorum.VoteResult.WON

    def reset_votes(self) -> None:
        self.votes = {}

    def record_vote(self, voter: int, granted: bool) -> None:
        """The first answer of a node counts."""
        self.votes.setdefault(voter, granted)

    def tally(self) -> tuple[int, int, quorum.VoteResult]:
        """Votes granted, votes rejected (learners do not count), and what that means."""
        counted = [
            self.votes[peer] for peer, record in self.progress.items() if not record.is_learner and peer in self.votes
        ]
        return counted.count(True), counted.count(False), self._decide(self.votes)

    def _decide(self, votes: dict[int, bool]) -> quorum.VoteResult:
        return quorum.joint_vote(self.configuration.incoming, self.configuration.outgoing, votes)
