"""The JSON of etcd's v2 store: its shape, there and back, and rubbish."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.errors import StorageError
from dualmode.member.snapshots.v2_store import ClusterState, decode, encode
from dualmode.peer.member import Member

VOTER = Member(0x77D30EA154280A1C, ("http://127.0.0.1:22480",), "one", ("http://127.0.0.1:1",))
LEARNER = Member(0x76E8D99BA7E21DD7, ("http://a:1", "http://b:1"), is_learner=True)


def test_what_etcd_expects_to_find_is_there() -> None:
    store = json.loads(encode([VOTER, LEARNER], [0xDEAD], "3.5.0", 42))
    assert store["CurrentIndex"] == 42
    root = store["Root"]
    assert root["Path"] == "/"
    assert set(root["Children"]) == {"0", "1"}
    cluster = root["Children"]["0"]["Children"]
    assert cluster["version"]["Value"] == "3.5.0"
    assert set(cluster["removed_members"]["Children"]) == {"dead"}
    voter = cluster["members"]["Children"]["77d30ea154280a1c"]["Children"]
    assert json.loads(voter["raftAttributes"]["Value"]) == {"peerURLs": ["http://127.0.0.1:22480"]}
    assert json.loads(voter["attributes"]["Value"]) == {"name": "one", "clientURLs": ["http://127.0.0.1:1"]}
    learner = cluster["members"]["Children"]["76e8d99ba7e21dd7"]["Children"]
    assert json.loads(learner["raftAttributes"]["Value"])["isLearner"] is True
    assert "attributes" not in learner  # it has not published any
    assert voter["attributes"]["Path"] == "/0/members/77d30ea154280a1c/attributes"
    queue = store["WatcherHub"]["EventHistory"]["Queue"]
    assert len(queue["Events"]) == queue["Capacity"]


texts = st.text(max_size=8)
members = st.builds(
    Member,
    st.integers(1, 2**64 - 1),
    st.lists(texts, max_size=3).map(tuple),
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.booleans(),
)


@given(
    st.lists(members, max_size=4, unique_by=lambda one: one.id),
    st.lists(st.integers(1, 2**64 - 1), max_size=4, unique=True),
    st.none() | texts,
)
def test_there_and_back(found: list[Member], removed: list[int], version: str | None) -> None:
    expected = ClusterState(tuple(sorted(found, key=lambda one: one.id)), tuple(sorted(removed)), version)
    assert decode(encode(found, removed, version, 7)) == expected


def test_a_cluster_that_never_removed_anyone_may_leave_that_out() -> None:
    store = json.loads(encode([VOTER], [], None, 1))
    del store["Root"]["Children"]["0"]["Children"]["removed_members"]
    assert decode(json.dumps(store).encode()) == ClusterState((VOTER,), (), None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=6,
)


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(StorageError, match="v2 store"):
        decode(data)


@given(st.sampled_from(["members", "removed_members", "version"]), json_values)
def test_rubbish_in_the_right_place_is_refused_or_read(name: str, value: object) -> None:
    store = json.loads(encode([VOTER], [1], "3.5.0", 1))
    store["Root"]["Children"]["0"]["Children"][name] = value
    try:
        found = decode(json.dumps(store).encode())
    except StorageError:
        return
    assert found.version is None or isinstance(found.version, str)


def test_json_that_nests_without_end_is_refused() -> None:
    with pytest.raises(StorageError):
        decode(b"[" * 200_000)


def test_a_version_that_is_no_text_is_refused() -> None:
    store = json.loads(encode([VOTER], [], "3.5.0", 1))
    store["Root"]["Children"]["0"]["Children"]["version"]["Value"] = 3.5
    with pytest.raises(StorageError, match="no text"):
        decode(json.dumps(store).encode())
