"""Quorum arithmetic against twins that are too slow to be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dualmode.raft import NO_LIMIT
from dualmode.raft.quorum import VoteResult, joint_committed, joint_vote, majority_committed, majority_vote

_VOTERS = st.sets(st.integers(1, 9), max_size=9)
_INDEXES = st.dictionaries(st.integers(1, 9), st.integers(0, 12))
_VOTES = st.dictionaries(st.integers(1, 9), st.booleans())


def _naive_committed(voters: set[int], acknowledged: dict[int, int]) -> int:
    """Try every index from the top: it is committed when more than half have it."""
    if not voters:
        return NO_LIMIT
    for index in range(12, 0, -1):
        holders = sum(1 for voter in voters if acknowledged.get(voter, 0) >= index)
        if 2 * holders > len(voters):
            return index
    return 0


def _naive_vote(voters: set[int], votes: dict[int, bool]) -> VoteResult:
    """Won if it is won even when all missing votes are rejections, lost if it is lost even when all are granted."""
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    missing = sum(1 for voter in voters if voter not in votes)
    if not voters or 2 * granted > len(voters):
        return VoteResult.WON
    return VoteResult.PENDING if 2 * (granted + missing) > len(voters) else VoteResult.LOST


@given(_VOTERS, _INDEXES)
def test_majority_committed(voters: set[int], acknowledged: dict[int, int]) -> None:
    assert majority_committed(voters, acknowledged) == _naive_committed(voters, acknowledged)


@given(_VOTERS, _VOTERS, _INDEXES)
def test_joint_committed(incoming: set[int], outgoing: set[int], acknowledged: dict[int, int]) -> None:
    result = joint_committed(incoming, outgoing, acknowledged)
    assert result == min(_naive_committed(incoming, acknowledged), _naive_committed(outgoing, acknowledged))
    assert result == joint_committed(outgoing, incoming, acknowledged)
    assert joint_committed(incoming, set(), acknowledged) == joint_committed(incoming, incoming, acknowledged)


@given(_VOTERS, _VOTERS, _INDEXES, st.data())
def test_what_lies_under_the_result_does_not_matter(
    incoming: set[int], outgoing: set[int], acknowledged: dict[int, int], data: st.DataObject
) -> None:
    result = joint_committed(incoming, outgoing, acknowledged)
    below = sorted(voter for voter, index in acknowledged.items() if index < result)
    if below:
        voter = data.draw(st.sampled_from(below))
        lowered = {**acknowledged, voter: data.draw(st.integers(0, acknowledged[voter]))}
        assert joint_committed(incoming, outgoing, lowered) == result


@given(_VOTERS, _VOTES)
def test_majority_vote(voters: set[int], votes: dict[int, bool]) -> None:
    assert majority_vote(voters, votes) == _naive_vote(voters, votes)


@given(_VOTERS, _VOTERS, _VOTES)
def test_joint_vote(incoming: set[int], outgoing: set[int], votes: dict[int, bool]) -> None:
    halves = [_naive_vote(incoming, votes), _naive_vote(outgoing, votes)]
    if VoteResult.LOST in halves:
        expected = VoteResult.LOST
    elif halves == [VoteResult.WON, VoteResult.WON]:
        expected = VoteResult.WON
    else:
        expected = VoteResult.PENDING
    assert joint_vote(incoming, outgoing, votes) == expected


@given(_VOTERS, _VOTERS, _VOTES, st.integers(1, 9), st.booleans())
def test_a_decision_stands_whatever_is_answered_later(
    incoming: set[int], outgoing: set[int], votes: dict[int, bool], voter: int, granted: bool
) -> None:
    result = joint_vote(incoming, outgoing, votes)
    later = joint_vote(incoming, outgoing, {voter: granted, **votes})
    assert result in (VoteResult.PENDING, later)
