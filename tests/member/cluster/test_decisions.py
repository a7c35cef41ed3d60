"""What a cluster decides by itself: whether a change of members may be asked for, its version, whose data is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import errors
from dualmode.errors import RpcError, StartError
from dualmode.member.cluster.hash_comparison import SOMEBODY, ahead, differing
from dualmode.member.cluster.joining import match_members
from dualmode.member.cluster.reconfiguration import check_addition, check_promotion, check_removal
from dualmode.member.cluster.versions import cluster_version_of, next_version
from dualmode.peer.interface import KvHash
from dualmode.peer.member import Member


def members(started: str) -> list[Member]:
    """One for each letter: S a started voter, n one that never started, l a learner."""
    return [
        Member(number, (f"http://{number}:2380",), "x" if kind in "Sl" else "", is_learner=kind == "l")
        for number, kind in enumerate(started, 1)
    ]


def verdict(check: object, *arguments: object) -> RpcError | None:
    try:
        check(*arguments)  # type: ignore[operator]
    except RpcError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("started", "connected", "expected"),
    [
        ("S", {}, None),
        ("SS", {2: 0.0}, None),
        ("SSS", {2: 0.0, 3: 0.0}, None),
        ("SSl", {2: 0.0}, None),
        ("SSS", {2: 0.0}, errors.UNHEALTHY),
        ("SSS", {2: 0.0, 3: 9.0}, errors.UNHEALTHY),
        ("Sn", {}, errors.NOT_ENOUGH_STARTED),
        ("SSn", {2: 0.0}, errors.NOT_ENOUGH_STARTED),
        ("SSSn", {2: 0.0, 3: 0.0, 4: 0.0}, None),
    ],
)
def test_adding_a_voter(started: str, connected: dict[int, float], expected: RpcError | None) -> None:
    assert verdict(check_addition, members(started), 1, connected.get, 10.0) == expected


@pytest.mark.parametrize(
    ("started", "removed", "connected", "expected"),
    [
        ("SSS", 3, {2: 0.0, 3: 0.0}, None),
        ("SSS", 1, {2: 0.0, 3: 0.0}, None),
        ("SSS", 3, {2: 0.0}, None),  # it is down: it holds nothing up
        ("SSS", 2, {2: 0.0}, errors.UNHEALTHY),  # the third is down, and without the second one is left
        ("SSl", 3, {}, None),
        ("S", 1, {}, errors.NOT_ENOUGH_STARTED),
        ("Sn", 1, {}, errors.NOT_ENOUGH_STARTED),
        ("Sn", 2, {}, None),
        ("SSS", 9, {}, None),  # whether it exists is told when it is applied
    ],
)
def test_removing_a_member(started: str, removed: int, connected: dict[int, float], expected: RpcError | None) -> None:
    assert verdict(check_removal, members(started), removed, 1, connected.get, 10.0) == expected


@pytest.mark.parametrize(
    ("started", "promoted", "expected"),
    [("SSl", 3, None), ("Sl", 2, None), ("Snl", 3, None), ("Snnl", 4, errors.NOT_ENOUGH_STARTED)],
)
def test_promoting_a_learner(started: str, promoted: int, expected: RpcError | None) -> None:
    assert verdict(check_promotion, members(started), promoted) == expected


@pytest.mark.parametrize(
    ("versions", "highest", "expected"),
    [
        ({1: "3.6.0", 2: "3.5.1", 3: "3.6.9"}, "3.6", "3.5.0"),
        ({1: "3.6.0", 2: None}, "3.6", None),
        ({1: "3.6.0"}, "3.6", "3.6.0"),
        ({1: "3.6.0"}, "3.4", "3.4.0"),
        ({}, "3.6", None),
        ({1: "3.6.0", 2: "nonsense"}, "3.6", "2.0.0"),
    ],
)
def test_the_version_of_a_cluster(versions: dict[int, str | None], highest: str, expected: str | None) -> None:
    assert cluster_version_of(versions, highest) == expected


@pytest.mark.parametrize(
    ("current", "decided", "downgrade", "expected"),
    [
        (None, "3.5.0", "", "3.5.0"),
        (None, None, "", "3.0.0"),
        ("3.5.0", "3.6.0", "", "3.6.0"),
        ("3.6.0", "3.6.0", "", None),
        ("3.6.0", "3.5.0", "", None),
        ("3.5.0", None, "", None),
        ("3.6.0", "3.6.0", "3.5.0", "3.5.0"),
        ("3.5.0", "3.6.0", "3.5.0", None),
        ("3.5.0", "3.5.0", "3.5.0", None),
        ("3.6.0", None, "3.5.0", None),
    ],
)
def test_what_is_agreed_on_next(current: str | None, decided: str | None, downgrade: str, expected: str | None) -> None:
    assert next_version(current, decided, downgrade) == expected


def hashed(value: int, compacted: int = 5) -> KvHash:
    return KvHash(10, value, compacted)


@pytest.mark.parametrize(
    ("own", "others", "count", "expected"),
    [
        (hashed(1), {2: hashed(1), 3: hashed(1)}, 3, []),
        (hashed(1), {2: hashed(1), 3: hashed(9)}, 3, [3]),
        (hashed(9), {2: hashed(1), 3: hashed(1)}, 3, [1]),
        (hashed(1), {2: hashed(9)}, 2, [SOMEBODY]),
        (hashed(1), {2: hashed(9)}, 3, [SOMEBODY]),
        (hashed(1), {2: hashed(8), 3: hashed(9)}, 3, [SOMEBODY]),
        (hashed(1), {2: hashed(9, compacted=4), 3: hashed(1)}, 3, []),
        (hashed(1), {}, 3, []),
        (hashed(1), {2: hashed(1), 3: hashed(8), 4: hashed(9), 5: hashed(1)}, 5, [3, 4]),
    ],
)
def test_whose_data_is_wrong(own: KvHash, others: dict[int, KvHash], count: int, expected: list[int]) -> None:
    assert differing(1, own, others, count) == expected


@given(st.integers(0, 4), st.integers(0, 4))
def test_the_majority_is_never_wrong(same: int, other: int) -> None:
    others = {number: hashed(1 if number < 2 + same else 9) for number in range(2, 2 + same + other)}
    wrong = differing(1, hashed(1), others, 1 + same + other)
    if 1 + same > other:
        assert wrong == [number for number, answer in others.items() if answer.hash == 9]
    else:
        assert 1 in wrong or wrong == [SOMEBODY]


def test_who_is_ahead_of_a_leader_that_leads() -> None:
    others = {2: KvHash(11, 0, 5), 3: KvHash(10, 0, 6), 4: KvHash(10, 0, 5), 5: KvHash(3, 0, -1)}
    assert ahead(others, 10, 5) == [2, 3]


def test_joining_finds_everybody_by_their_urls() -> None:
    listed = [Member(7, ("http://a:1", "http://a:2"), "old-name"), Member(8, ("http://b:1",))]
    joined = match_members("b", {"a": ("http://a:2", "http://a:1"), "b": ("http://b:1",)}, listed, 99)
    assert (joined.member_id, joined.cluster_id, joined.members) == (8, 99, tuple(listed))


@pytest.mark.parametrize(
    ("initial", "told"),
    [
        ({"a": ("http://a:1",)}, 'couldn\'t find local name "b" in the initial cluster configuration'),
        ({"b": ("http://b:1",)}, "member count is unequal"),
        ({"a": ("http://x:1",), "b": ("http://b:1",)}, "unmatched member while checking PeerURLs"),
    ],
)
def test_joining_what_does_not_fit(initial: dict[str, tuple[str, ...]], told: str) -> None:
    listed = [Member(7, ("http://a:1",)), Member(8, ("http://b:1",))]
    with pytest.raises(StartError, match=told):
        match_members("b", initial, listed, 99)
