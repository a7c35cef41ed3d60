"""The bytes of Raft entries, made once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dualmode.api import raftpb
from dualmode.raft import Entry, EntryType
from dualmode.storage.raft_entries import encode_entries, encode_entry, forget_encoded

numbers = st.one_of(st.integers(0, 300), st.sampled_from([0x3FFF, 0x4000, 0x4001]), st.integers(0, 2**64 - 1))
some_entries = st.lists(
    st.builds(Entry, st.sampled_from(EntryType), numbers, numbers, st.binary(max_size=200)), max_size=6
)


@given(some_entries)
def test_a_batch_is_encoded_as_each_entry_is(entries: list[Entry]) -> None:
    found = encode_entries(entries)
    assert found == [encode_entry(entry) for entry in entries]
    for encoded, entry in zip(found, entries, strict=True):
        read = raftpb.Entry.FromString(encoded)
        assert (read.Type, read.Term, read.Index, read.Data) == (entry.type, entry.term, entry.index, entry.data)


@given(st.integers(0, 2**40), st.integers(1, 40))
def test_a_run_of_entries_across_every_length_of_an_index(first: int, count: int) -> None:
    for start in (first, 0x4000 - count // 2, 0x20_0000 - count // 2, 0x1000_0000 - count // 2):
        entries = [Entry(term=3, index=index, data=b"x") for index in range(max(start, 0), start + count)]
        assert encode_entries(entries) == [encode_entry(entry) for entry in entries]


def test_bytes_are_kept_until_they_are_let_go_of() -> None:
    entries = [Entry(term=1, index=5, data=b"data"), Entry(term=1, index=6)]
    encode_entries(entries, keeps=False)
    assert [entry.encoded for entry in entries] == [b"", b""]
    made = encode_entries(entries)
    assert [entry.encoded for entry in entries] == made
    assert all(again is before for again, before in zip(encode_entries(entries), made, strict=True))
    forget_encoded(entries)
    assert [entry.encoded for entry in entries] == [b"", b""]


def test_they_are_no_part_of_the_entry() -> None:
    entry, same = Entry(term=1, index=5, data=b"data"), Entry(term=1, index=5, data=b"data")
    encode_entries([entry])
    assert entry == same
    assert repr(entry) == repr(same)
