"""Decides: what a majority, or two majorities at once, have agreed on.

A joint configuration has two halves, and every decision needs a majority in both. An empty half agrees to everything,
so a configuration that is not joint is simply one with an empty second half.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum

from dualmode.raft.types import NO_LIMIT


class VoteResult(IntEnum):
    """`printed` is the name in transcripts."""

    PENDING = 1
    LOST = 2
    WON = 3

    @property
    def printed(self) -> str:
        return ("", "VotePending", "VoteLost", "VoteWon")[self]


def majority_committed(voters: Collection[int], acknowledged: Mapping[int, int]) -> int:
    """The highest index that a majority of `voters` has; `NO_LIMIT` if there are none. Missing voters have 0."""
    count = len(voters)
    if count == 0:
        return NO_LIMIT
    ascending = sorted([acknowledged.get(voter, 0) for voter in voters])
    return ascending[count - (count // 2 + 1)]


def joint_committed(incoming: Collection[int], outgoing: Collection[int], acknowledged: Mapping[int, int]) -> int:
    """The highest index that is committed in both halves."""
    return min(majority_committed(incoming, acknowledged), majority_committed(outgoing, acknowledged))


def majority_vote(voters: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    """The result of an election among `voters`; those without a vote have not answered yet."""
    if not voters:
        return VoteResult.WON
    needed = len(voters) // 2 + 1
    answers = [votes.get(voter) for voter in voters]
    if answers.count(True) >= needed:
        return VoteResult.WON
    if answers.count(True) + answers.count(None) >= needed:
        return VoteResult.PENDING
    return VoteResult.LOST


def joint_vote(incoming: Collection[int], outgoing: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    """Won when both halves are won, lost as soon as one is."""
    results = {majority_vote(incoming, votes), majority_vote(outgoing, votes)}
    if len(results) == 1:
        return results.pop()
    return VoteResult.LOST if VoteResult.LOST in results else VoteResult.PENDING
