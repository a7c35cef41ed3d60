"""Messages of every kind, and strategies that draw them."""

from hypothesis import strategies as st

from dualmode.raft import LOCAL_MESSAGES, ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata

ids = st.integers(0, 2**64 - 1)
numbers = st.one_of(st.integers(0, 300), ids)
#: Kinds that members send each other.
KINDS = [kind for kind in MessageType if kind not in LOCAL_MESSAGES]

entries = st.builds(Entry, st.sampled_from(EntryType), numbers, numbers, st.binary(max_size=40))
conf_states = st.builds(
    ConfState,
    voters=st.lists(ids, max_size=4).map(tuple),
    learners=st.lists(ids, max_size=2).map(tuple),
    voters_outgoing=st.lists(ids, max_size=2).map(tuple),
    learners_next=st.lists(ids, max_size=2).map(tuple),
    auto_leave=st.booleans(),
)
snapshots = st.builds(Snapshot, st.binary(max_size=30), st.builds(SnapshotMetadata, conf_states, numbers, numbers))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(KINDS))
    return Message(
        kind,
        to=draw(ids),
        sender=draw(ids),
        term=draw(numbers),
        log_term=draw(numbers),
        index=draw(numbers),
        entries=draw(st.lists(entries, max_size=4)),
        commit=draw(numbers),
        snapshot=draw(snapshots) if kind is MessageType.SNAPSHOT else None,
        reject=draw(st.booleans()),
        reject_hint=draw(numbers),
        context=draw(st.binary(max_size=10)),
        vote=draw(numbers),
    )


def append(index: int, count: int, term: int = 3, commit: int = 0) -> Message:
    """An append of `count` entries behind `index`."""
    made = [Entry(EntryType.NORMAL, term, index + 1 + one, b"data %d" % (index + one)) for one in range(count)]
    return Message(
        MessageType.APPEND, to=1, sender=2, term=term, log_term=term, index=index, entries=made, commit=commit
    )
