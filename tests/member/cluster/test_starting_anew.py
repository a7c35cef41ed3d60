"""The entries that leave a member alone in its cluster."""

from hypothesis import given
from hypothesis import strategies as st

from dualmode.member.cluster.conf_changes import add_change, add_member_entry, promote_change, remove_change
from dualmode.member.cluster.starting_anew import lone_member_entries
from dualmode.peer.member import Member
from dualmode.raft import ConfChange, ConfChangeType, ConfState, Entry, EntryType, decode_change

URLS = ("http://one:2380",)


def changes(entries: list[Entry]) -> list[tuple[ConfChangeType, int]]:
    found = []
    for entry in entries:
        change = decode_change(entry)
        assert isinstance(change, ConfChange)
        found.append((change.type, change.node_id))
    return found


def test_everybody_else_is_removed() -> None:
    entries = lone_member_entries(1, URLS, ConfState((1, 2, 3), (4,)), [], 7, 20)
    assert changes(entries) == [(ConfChangeType.REMOVE_NODE, one) for one in (2, 3, 4)]
    assert [(one.term, one.index) for one in entries] == [(7, 21), (7, 22), (7, 23)]


def test_a_learner_becomes_a_voter_first() -> None:
    entries = lone_member_entries(4, URLS, ConfState((1, 2), (4,)), [], 7, 20)
    assert changes(entries)[0] == (ConfChangeType.ADD_NODE, 4)
    assert b'"isPromote":true' in entries[0].data


def test_a_member_that_was_removed_comes_back() -> None:
    entries = lone_member_entries(9, URLS, ConfState((1, 2)), [], 7, 20)
    assert changes(entries)[0] == (ConfChangeType.ADD_NODE, 9)
    assert b"http://one:2380" in entries[0].data


def test_a_member_alone_has_nothing_to_do() -> None:
    assert lone_member_entries(1, URLS, ConfState((1,)), [], 7, 20) == []


def test_the_log_behind_the_snapshot_counts() -> None:
    log = [
        add_member_entry(21, 7, Member(5, ("http://five:1",))),
        Entry(EntryType.NORMAL, 7, 22, b"x"),
        Entry(EntryType.CONF_CHANGE, 7, 23, remove_change(1, 2).encode()),
        Entry(EntryType.CONF_CHANGE, 7, 24, add_change(2, Member(6, (), is_learner=True)).encode()),
        Entry(EntryType.CONF_CHANGE, 7, 25, promote_change(3, 6).encode()),
    ]
    entries = lone_member_entries(1, URLS, ConfState((1, 2)), log, 7, 25)
    assert changes(entries) == [(ConfChangeType.REMOVE_NODE, 5), (ConfChangeType.REMOVE_NODE, 6)]
    assert entries[0].index == 26


ids = st.lists(st.integers(1, 6), unique=True, max_size=4)


@given(ids, ids, st.integers(1, 6))
def test_whoever_there_was_one_voter_is_left_and_there_is_always_one(
    voters: list[int], learners: list[int], own_id: int
) -> None:
    now, later = set(voters), set(learners) - set(voters)
    for kind, member_id in changes(lone_member_entries(own_id, URLS, ConfState(tuple(now), tuple(later)), [], 1, 0)):
        if kind is ConfChangeType.ADD_NODE:
            now.add(member_id)
            later.discard(member_id)
        else:
            now.discard(member_id)
            later.discard(member_id)
        assert now
    assert now == {own_id}
    assert not later
