"""Decides: Raft messages of every shape, for hypothesis and by hand."""

from hypothesis import strategies as st

from dualmode.raft import LOCAL_MESSAGES, ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata

numbers = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
some_bytes = st.binary(max_size=40)
ids = st.lists(numbers, max_size=4).map(tuple)
entries = st.builds(Entry, st.sampled_from(EntryType), numbers, numbers, some_bytes)
conf_states = st.builds(ConfState, ids, ids, ids, ids, st.booleans())
snapshots = st.builds(Snapshot, some_bytes, st.builds(SnapshotMetadata, conf_states, numbers, numbers))
#: Kinds that members send each other.
kinds = st.sampled_from([one for one in MessageType if one not in LOCAL_MESSAGES])


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(kinds)
    return Message(
        kind,
        to=draw(numbers),
        sender=draw(numbers),
        term=draw(numbers),
        log_term=draw(numbers),
        index=draw(numbers),
        entries=draw(st.lists(entries, max_size=4)),
        commit=draw(numbers),
        snapshot=draw(snapshots) if kind is MessageType.SNAPSHOT else None,
        reject=draw(st.booleans()),
        reject_hint=draw(numbers),
        context=draw(some_bytes),
        vote=draw(numbers),
    )
