"""Which endpoint a call goes to, by each policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.proxy.policies import POLICIES, Choice, may_write

PUT, RANGE = b"/etcdserverpb.KV/Put", b"/etcdserverpb.KV/Range"


class Endpoint:
    def __init__(self, open_streams: int = 0) -> None:
        self.open_streams = open_streams


def picks(policy: str, count: int, calls: int, path: bytes = PUT, leader: int | None = None) -> list[int]:
    choice = Choice()
    endpoints = [Endpoint() for _ in range(count)]
    return [POLICIES[policy](choice, path, endpoints, leader) for _ in range(calls)]


def test_stay_means_the_one_in_use() -> None:
    assert picks("stay", 3, 4, leader=2) == [0] * 4


def test_round_robin_takes_each_in_turn() -> None:
    assert sorted(picks("round-robin", 3, 6)) == [0, 0, 1, 1, 2, 2]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_least_in_flight_takes_one_of_the_fewest(open_streams: list[int]) -> None:
    endpoints = [Endpoint(number) for number in open_streams]
    choice = Choice()
    policy = POLICIES["least-in-flight"]
    chosen = {policy(choice, PUT, endpoints, None) for _ in range(2 * len(endpoints))}
    assert chosen == {index for index, number in enumerate(open_streams) if number == min(open_streams)}


def test_what_may_write_goes_to_the_leader() -> None:
    assert picks("leader-first", 3, 2, PUT, leader=2) == [2, 2]
    assert picks("leader-first", 3, 2, RANGE, leader=2) == [0, 0]
    assert picks("leader-first", 3, 2, PUT) == [0, 0]


@pytest.mark.parametrize(
    ("path", "writes"),
    [
        (PUT, True),
        (b"/etcdserverpb.KV/Txn", True),
        (RANGE, False),
        (b"/some.Service/Unknown", True),
        (b"/v3/kv/put?x=1", True),
        (b"/v3/kv/range?x=1", False),
    ],
)
def test_what_may_write(path: bytes, writes: bool) -> None:
    assert may_write(path) is writes
