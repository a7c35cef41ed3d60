"""Ids against vectors taken from a running etcd (reference, section 4.9)."""

import pytest

from dualmode.member.identity import RequestIds, cluster_id, member_id


@pytest.mark.parametrize(
    ("url", "member", "cluster"),
    [
        ("http://127.0.0.1:22480", 0x77D30EA154280A1C, 0x16F9B766C0C6C6F2),
        ("http://127.0.0.1:22380", 0x9E737FEBB6B99EEE, 0xC8730D66636FF140),
    ],
)
def test_ids_are_etcds(url: str, member: int, cluster: int) -> None:
    assert member_id([url], "etcd-cluster") == member
    assert cluster_id([member]) == cluster


def test_a_member_added_later_gets_another_id_each_second() -> None:
    assert member_id(["http://a:1"], "", 100) != member_id(["http://a:1"], "", 101)


def test_ids_do_not_depend_on_the_order_given() -> None:
    assert member_id(["http://b:1", "http://a:1"], "t") == member_id(["http://a:1", "http://b:1"], "t")
    assert cluster_id([2, 1]) == cluster_id([1, 2])


def test_request_ids_carry_member_time_and_a_counter_that_carries_over() -> None:
    ids = RequestIds(0xABCD_0000_0000_1234, 0x1_00_0000_0001)
    first = ids.next()
    assert first >> 48 == 0x1234
    assert first >> 8 & (1 << 40) - 1 == 1
    made = {first} | {ids.next() for _ in range(600)}
    assert len(made) == 601
    assert max(made) == first + 600


def test_lease_ids_are_positive_int64() -> None:
    ids = RequestIds(0xFFFF, 0)
    assert 0 < ids.next_lease() < 1 << 63
