"""The JSON of etcd's v2 store, which a snapshot between members carries."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.errors import StorageError
from dualmode.member.snapshots.v2_store import ClusterState, decode, encode
from dualmode.peer.member import Member

ids = st.integers(1, 2**64 - 1)
urls = st.lists(st.sampled_from(["http://a:1", "http://b:2", "https://c:3"]), min_size=1, max_size=2).map(tuple)
members = st.builds(Member, ids, urls, st.text(max_size=5), st.one_of(st.just(()), urls), st.booleans())


@given(
    st.lists(members, max_size=4, unique_by=lambda one: one.id),
    st.lists(ids, max_size=3, unique=True),
    st.one_of(st.none(), st.just("3.5.0")),
)
def test_what_is_written_is_read_back(listed: list[Member], removed: list[int], version: str | None) -> None:
    state = ClusterState(tuple(sorted(listed, key=lambda one: one.id)), tuple(sorted(removed)), version)
    assert decode(encode(listed, removed, version, 7)) == state


def test_the_shape_that_etcd_s_reader_needs() -> None:
    """It follows pointers without looking: a hub with a queue of events, statistics, folders that are folders."""
    store = json.loads(encode([Member(0xAB, ("http://a:1",))], [], None, 7))
    assert store["CurrentIndex"] == 7
    assert len(store["WatcherHub"]["EventHistory"]["Queue"]["Events"]) == 1000
    assert store["Stats"] == {}
    assert store["Root"]["Children"]["1"]["Children"] == {}
    folder = store["Root"]["Children"]["0"]["Children"]["members"]["Children"]["ab"]
    assert folder["Path"] == "/0/members/ab"
    leaf = folder["Children"]["raftAttributes"]
    assert (leaf["Path"], leaf["Value"], leaf["Children"]) == (
        "/0/members/ab/raftAttributes",
        '{"peerURLs":["http://a:1"]}',
        None,
    )
    assert "attributes" not in folder["Children"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"Root":null}',
        b'{"Root":{"Children":{"0":{"Children":{"members":{"Children":{"xyz":{"Children":{}}}}}}}}}',
        b'{"Root":{"Children":{"0":{"Children":{"members":{"Children":{"1":{"Children":{}}}}}}}}}',
        b'{"Root":{"Children":{"0":{"Children":{"version":{}}}}}}',
        b"[" * 100_000,
    ],
)
def test_rubbish(data: bytes) -> None:
    with pytest.raises(StorageError, match="does not carry the JSON of etcd's v2 store"):
        decode(data)
