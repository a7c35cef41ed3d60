"""Changes of members on their way: into the log, to their entry, or out of time."""

import pytest

from dualmode.errors import RpcError
from dualmode.member.cluster.proposed_changes import ProposedChanges
from dualmode.raft import ConfChange, ConfChangeType, ProposalDropped


class Nobody:
    def reply(self, message: bytes) -> None: ...

    def fail(self, error: RpcError) -> None: ...


def change(number: int) -> ConfChange:
    return ConfChange(ConfChangeType.ADD_NODE, number, id=number)


def test_a_change_enters_once_and_its_asker_is_found_once() -> None:
    changes, reply, proposed = ProposedChanges(), Nobody(), []
    changes.add(change(1), reply, 5.0)
    assert changes.are_waiting_to_enter
    assert changes.take(1) is None, "it is not in the log yet"
    changes.enter(proposed.append)
    changes.enter(proposed.append)
    assert proposed == [change(1)]
    assert not changes.are_waiting_to_enter
    assert changes.take(1) is reply
    assert changes.take(1) is None


def test_what_is_refused_waits_on_in_its_place() -> None:
    changes, proposed = ProposedChanges(), []

    def only_first(one: ConfChange) -> None:
        if proposed:
            raise ProposalDropped
        proposed.append(one)

    for number in (1, 2, 3):
        changes.add(change(number), Nobody(), 5.0)
    with pytest.raises(ProposalDropped):
        changes.enter(only_first)
    changes.enter(proposed.append)
    assert proposed == [change(1), change(2), change(3)]


def test_those_out_of_time_are_taken_out_wherever_they_are() -> None:
    changes = ProposedChanges()
    for number, deadline in ((1, 1.0), (2, 9.0)):
        changes.add(change(number), Nobody(), deadline)
    changes.enter(lambda one: None)
    for number, deadline in ((3, 1.0), (4, 9.0)):
        changes.add(change(number), Nobody(), deadline)
    assert changes.expired(0.5) == []
    assert [one.change.id for one in changes.expired(1.0)] == [1, 3]
    assert changes.take(1) is None
    assert [one.change.id for one in changes.all()] == [4, 2]
    assert changes.all() == []
