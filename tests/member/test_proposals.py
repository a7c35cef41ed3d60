"""Proposals that wait to be proposed, and the table of those that wait for their entry."""

import pytest

from dualmode import limits
from dualmode.errors import RpcError
from dualmode.member.proposals import IncomingProposals, Proposal, WaitingProposals


class Nobody:
    def reply(self, message: bytes) -> None: ...

    def fail(self, error: RpcError) -> None: ...


def proposal(deadline: float = 10.0) -> Proposal:
    return Proposal(b"data", 4, None, Nobody(), deadline)


def test_a_proposal_is_found_once_at_its_index_and_term() -> None:
    waiting, one, two = WaitingProposals(), proposal(), proposal()
    waiting.enter(7, 3, [one, two])
    assert waiting.take(8, 3) is two
    assert waiting.take(8, 3) is None
    assert len(waiting) == 1


def test_an_entry_of_another_term_displaces_it() -> None:
    waiting, one = WaitingProposals(), proposal()
    waiting.enter(7, 3, [one])
    assert waiting.take(7, 4) is None
    assert waiting.displaced(7) is one
    assert waiting.displaced(7) is None


def test_only_what_is_over_its_time_expires_oldest_first() -> None:
    waiting, early, late = WaitingProposals(), proposal(1.0), proposal(2.0)
    waiting.enter(1, 1, [early, late])
    assert list(waiting.expired(1.5)) == [early]
    assert waiting.all() == [late]
    assert len(waiting) == 0


def test_a_batch_at_the_place_of_an_older_one_displaces_it() -> None:
    """This member led, lost entries to another leader's, and leads again: its log is shorter than it was."""
    waiting, lost = WaitingProposals(), [proposal() for _ in range(3)]
    kept, fresh = proposal(), [proposal(), proposal()]
    assert waiting.enter(6, 2, [kept]) == []
    assert waiting.enter(7, 2, lost) == []
    assert waiting.enter(8, 4, fresh) == lost[1:]
    assert waiting.take(8, 4) is fresh[0]
    assert waiting.take(9, 4) is fresh[1]
    assert waiting.displaced(7) is lost[0]
    assert waiting.all() == [kept]


def test_what_was_sent_to_the_leader_is_found_by_its_id() -> None:
    waiting, one, two = WaitingProposals(), proposal(), proposal(20.0)
    one.request_id, two.request_id = 5, 6
    assert waiting.take_forwarded(5) is None
    waiting.enter_forwarded([one, two])
    assert waiting.take_forwarded(6) is two
    assert waiting.take_forwarded(6) is None
    assert list(waiting.expired(15.0)) == [one]
    assert len(waiting) == 0


def incoming(*proposals: Proposal) -> IncomingProposals:
    made = IncomingProposals()
    for one in proposals:
        made.add(one)
    return made


def test_a_batch_is_bounded_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROPOSALS_PER_BATCH", 2)
    proposals = [proposal() for _ in range(5)]
    waiting = incoming(*proposals)
    assert waiting.take_batch() == proposals[:2]
    assert waiting.take_batch() == proposals[2:4]
    assert waiting.take_batch() == proposals[4:]
    assert waiting.take_batch() == []


def test_a_batch_is_bounded_by_size_but_takes_one_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROPOSED_BYTES_PER_BATCH", 3 * len(b"data") - 1)
    proposals = [proposal() for _ in range(3)]
    waiting = incoming(*proposals)
    assert waiting.take_batch() == proposals[:2]
    monkeypatch.setattr(limits, "PROPOSED_BYTES_PER_BATCH", 1)
    assert waiting.take_batch() == proposals[2:]


def test_a_batch_that_is_put_back_comes_first() -> None:
    one, two, three = proposal(), proposal(), proposal()
    waiting = incoming(one, two)
    batch = waiting.take_batch()
    waiting.add(three)
    waiting.put_back(batch)
    assert len(waiting) == 3
    assert waiting.all() == [one, two, three]
    assert not waiting


def test_incoming_proposals_expire() -> None:
    early, late = proposal(1.0), proposal(2.0)
    waiting = incoming(early, late)
    assert waiting.expired(0.5) == []
    assert waiting.expired(1.0) == [early]
    assert waiting.all() == [late]
