"""Fewer messages that say the same: what is left out, and what never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.member.merging import merged
from dualmode.raft import Entry, Message, MessageType


def entries(first: int, last: int, term: int = 2) -> list[Entry]:
    return [Entry(term=term, index=index, data=b"%d" % index) for index in range(first, last + 1)]


def append(index: int, found: list[Entry], commit: int, *, to: int = 7, term: int = 2, log_term: int = 2) -> Message:
    return Message(
        MessageType.APPEND, to=to, sender=1, term=term, log_term=log_term, index=index, entries=found, commit=commit
    )


def acknowledgement(index: int, *, to: int = 7, term: int = 2, reject: bool = False) -> Message:
    return Message(MessageType.APPEND_RESPONSE, to=to, sender=1, term=term, index=index, reject=reject)


def test_a_commit_index_goes_with_the_entries_behind_it() -> None:
    assert merged([append(5, [], 4), append(5, entries(6, 7), 5)]) == [append(5, entries(6, 7), 5)]


def test_entries_behind_each_other_are_one_append() -> None:
    messages = [append(5, entries(6, 7), 5), append(7, entries(8, 8), 6), append(8, [], 7)]
    assert merged(messages) == [append(5, entries(6, 8), 7)]


def test_each_member_is_told_by_itself() -> None:
    messages = [append(5, [], 5, to=7), append(5, [], 5, to=8), append(5, entries(6, 6), 5, to=7)]
    assert merged(messages) == [append(5, entries(6, 6), 5, to=7), append(5, [], 5, to=8)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (append(5, entries(6, 6), 5), append(5, entries(6, 6), 5)),  # said again
        (append(5, entries(6, 6), 5), append(7, entries(8, 8), 5)),  # a gap
        (append(5, [], 5, term=2), append(5, [], 5, term=3)),
        (append(5, entries(6, 6, term=1), 5), append(6, entries(7, 7), 5)),  # the log terms do not follow
        (append(5, [], 5, log_term=1), append(5, [], 5, log_term=2)),
        (append(5, [], 5), append(5, [], 4)),
        (acknowledgement(6), acknowledgement(5)),
        (acknowledgement(5, reject=True), acknowledgement(6)),
        (acknowledgement(5), acknowledgement(6, reject=True)),
        (acknowledgement(5, term=2), acknowledgement(6, term=3)),
        (Message(MessageType.HEARTBEAT, to=7), Message(MessageType.HEARTBEAT, to=7)),
    ],
)
def test_what_does_not_say_the_same_stays(first: Message, second: Message) -> None:
    assert merged([first, second]) == [first, second]


def test_the_last_acknowledgement_speaks_for_all() -> None:
    heartbeat = Message(MessageType.HEARTBEAT_RESPONSE, to=7)
    messages = [acknowledgement(5), heartbeat, acknowledgement(6), acknowledgement(6), acknowledgement(6, to=8)]
    assert merged(messages) == [acknowledgement(6), heartbeat, acknowledgement(6, to=8)]


def test_an_append_does_not_grow_beyond_what_one_may_be() -> None:
    large = [Entry(term=2, index=6, data=bytes(limits.APPEND_BYTES))]
    assert len(merged([append(5, large, 5), append(6, entries(7, 7), 5)])) == 2


def test_the_messages_that_came_are_not_changed() -> None:
    first, second = append(5, entries(6, 6), 5), append(6, entries(7, 7), 6)
    merged([first, second])
    assert (first, second) == (append(5, entries(6, 6), 5), append(6, entries(7, 7), 6))


class Follower:
    """What an append does to a log that has everything up to where it begins."""

    def __init__(self) -> None:
        self.log: dict[int, int] = {}
        self.commit = 0

    def take(self, message: Message) -> None:
        assert message.index == 0 or message.index in self.log
        for entry in message.entries:
            self.log[entry.index] = entry.term
        self.commit = max(self.commit, min(message.commit, message.index + len(message.entries)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=10))
def test_a_follower_ends_where_it_would_have_ended(steps: list[tuple[int, int]]) -> None:
    messages, index, commit = [], 0, 0
    for count, ahead in steps:
        found = entries(index + 1, index + count)
        commit = min(commit + ahead, index + count)
        messages.append(append(index, found, commit, log_term=2 if index else 0))
        index += count
    plainly, shortly = Follower(), Follower()
    for message in messages:
        plainly.take(message)
    for message in merged(messages):
        shortly.take(message)
    assert (plainly.log, plainly.commit) == (shortly.log, shortly.commit)
