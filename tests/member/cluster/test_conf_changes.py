"""Changes of members: judged alike everywhere when they are applied, and heard again after a restart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.cluster.conf_changes import (
    add_change,
    apply_conf_change,
    changes_members,
    promote_change,
    remove_change,
    update_change,
)
from dualmode.member.cluster.membership import Membership
from dualmode.member.cluster.starting_anew import lone_member_entries
from dualmode.peer.member import Member
from dualmode.raft import (
    ConfChange,
    Config,
    ConfState,
    Entry,
    EntryType,
    MemoryStorage,
    RawNode,
    Snapshot,
    SnapshotMetadata,
)
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store

ONE = Member(1, ("http://one:2380",), "one", ("http://one:2379",))
TWO = Member(2, ("http://two:2380",), "two")


class Quiet:
    def debug(self, text: str) -> None: ...
    def info(self, text: str) -> None: ...
    def warning(self, text: str) -> None: ...
    def error(self, text: str) -> None: ...
    def fatal(self, text: str) -> None: ...


def node(*voters: int) -> RawNode:
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(ConfState(voters=voters), 10, 1)))
    return RawNode(Config(id=1), storage, Quiet(), lambda n: 0)


class Group:
    """A membership of two voters, and the node that hears of it."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(Backend.open(directory / "store"))
        self.membership = Membership(self.store)
        self.node = node(1, 2)
        self._index = 10
        self.change(lambda: [self.membership.put(one) for one in (ONE, TWO)])

    def change(self, work: Callable[[], object]) -> object:
        self.store.begin_pass()
        try:
            return work()
        finally:
            self.store.end_pass(self._index, 1)

    def apply(self, change: ConfChange, is_replay: bool = False) -> tuple[RpcError | None, tuple[int, ...]]:
        self._index += 1
        entry = Entry(EntryType.CONF_CHANGE, 1, self._index, change.encode())
        applied = self.change(lambda: apply_conf_change(self.node, self.membership, entry, is_replay))
        assert applied.change_id == change.id  # type: ignore[attr-defined]
        state = applied.conf_state  # type: ignore[attr-defined]
        return applied.fault, (state.voters, state.learners)  # type: ignore[attr-defined]


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path)


NEW = Member(3, ("http://three:2380",))
LEARNER = Member(3, ("http://three:2380",), is_learner=True)


def test_a_member_is_added_promoted_updated_removed(group: Group) -> None:
    heard: list[int] = []
    group.membership.on_change = heard.append
    assert group.apply(add_change(7, LEARNER)) == (None, ((1, 2), (3,)))
    assert group.apply(promote_change(8, 3)) == (None, ((1, 2, 3), ()))
    moved = Member(3, ("http://elsewhere:2380",))
    assert group.apply(update_change(9, moved)) == (None, ((1, 2, 3), ()))
    assert group.membership.get(3) == moved
    assert group.apply(remove_change(10, 3)) == (None, ((1, 2), ()))
    assert group.membership.is_removed(3)
    assert heard == [3, 3, 3, 3]
    again = Membership(group.store)
    assert (again.members(), again.removed) == ([ONE, TWO], [3])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (add_change(1, Member(2, ("http://new:2380",))), errors.MEMBER_EXISTS),
        (add_change(1, Member(3, ("http://two:2380",))), errors.PEER_URL_EXISTS),
        (promote_change(1, 2), errors.MEMBER_NOT_LEARNER),
        (promote_change(1, 9), errors.MEMBER_NOT_FOUND),
        (remove_change(1, 9), errors.MEMBER_NOT_FOUND),
        (update_change(1, Member(9, ("http://nine:2380",))), errors.MEMBER_NOT_FOUND),
        (update_change(1, Member(2, ("http://one:2380",))), errors.PEER_URL_EXISTS),
        (ConfChange(add_change(1, NEW).type, 3, b"not JSON", 1), errors.BAD_MEMBER_URLS),
        (ConfChange(add_change(1, NEW).type, 3, b"[]", 1), errors.BAD_MEMBER_URLS),
    ],
)
def test_what_does_not_hold_changes_nothing(group: Group, change: ConfChange, fault: RpcError) -> None:
    assert group.apply(change) == (fault, ((1, 2), ()))
    assert group.membership.members() == [ONE, TWO]
    assert group.membership.removed == []


def test_an_id_is_never_used_again(group: Group) -> None:
    group.apply(remove_change(1, 2))
    assert group.apply(add_change(2, TWO)) == (errors.MEMBER_NOT_FOUND, ((1,), ()))


def test_learners_are_few(group: Group) -> None:
    assert group.apply(add_change(1, LEARNER))[0] is None
    more = Member(4, ("http://four:2380",), is_learner=True)
    assert group.apply(add_change(2, more)) == (errors.TOO_MANY_LEARNERS, ((1, 2), (3,)))


def test_a_replay_tells_raft_what_the_first_time_did(group: Group) -> None:
    """One that was refused then is refused again, though the members it was judged by are others now."""
    changes = [
        add_change(1, NEW),
        add_change(2, Member(4, NEW.peer_urls)),  # refused: the URL is taken
        remove_change(3, 3),
        add_change(4, Member(5, NEW.peer_urls)),
    ]
    first = [group.apply(change)[1] for change in changes]
    group.node = node(1, 2)
    group._index = 10
    assert [group.apply(change, is_replay=True)[1] for change in changes] == first
    assert first[-1] == ((1, 2, 5), ())


def test_which_entries_change_members() -> None:
    assert not changes_members([Entry(), Entry()])
    assert changes_members([Entry(), Entry(EntryType.CONF_CHANGE)])
    assert changes_members([Entry(EntryType.CONF_CHANGE_V2)])


# --- Forcing a new cluster -----------------------------------------------------------------------------------


def entry(index: int, change: ConfChange) -> Entry:
    return Entry(EntryType.CONF_CHANGE, 1, index, change.encode())


def after(own_id: int, state: ConfState, *changes: ConfChange) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(voters, learners) of Raft once the entries of a forced new cluster are applied."""
    entries = [entry(index, change) for index, change in enumerate(changes, 11)]
    added = lone_member_entries(own_id, ("http://me:2380",), state, entries, 4, 10 + len(entries))
    assert [one.index for one in added] == list(range(11 + len(entries), 11 + len(entries) + len(added)))
    storage = MemoryStorage()
    storage.apply_snapshot(Snapshot(b"", SnapshotMetadata(state, 10, 1)))
    raft = RawNode(Config(id=own_id), storage, Quiet(), lambda n: 0)
    found = state
    for one in (*entries, *added):
        found = raft.apply_conf_change(ConfChange.decode(one.data), one.index)
    return found.voters, found.learners


def test_a_lone_member_is_the_only_voter() -> None:
    assert after(1, ConfState(voters=(1, 2, 3))) == ((1,), ())
    assert after(1, ConfState(voters=(1,))) == ((1,), ())
    assert after(1, ConfState(voters=(2, 3), learners=(1,))) == ((1,), ())
    assert after(1, ConfState(voters=(2, 3))) == ((1,), ())
    assert after(1, ConfState(voters=(1, 2), learners=(3,)), remove_change(0, 2), add_change(0, NEW)) == ((1,), ())
    assert after(1, ConfState(voters=(1, 2)), update_change(0, TWO), add_change(0, LEARNER)) == ((1,), ())
