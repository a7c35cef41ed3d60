"""grpc's keepalive rules on a clock of our own."""

from __future__ import annotations

import pytest

from dualmode import limits
from dualmode.http.keepalive import Due, Keepalive, PingEnforcement
from dualmode.http.options import Http2Options


def strikes(times: list[float], has_streams: bool = True, **options: object) -> list[bool]:
    enforcement = PingEnforcement(Http2Options(**options))  # type: ignore[arg-type]
    return [enforcement.is_too_many(now, has_streams) for now in times]


@pytest.mark.parametrize(
    ("times", "has_streams", "options", "too_many"),
    [
        ([0, 5, 10, 15, 20], True, {}, None),
        ([0, 1, 2, 3], True, {}, 3),
        ([0, 1, 2, 100, 101], True, {}, 4),  # strikes stay until we send something
        ([0, 10, 20, 30], False, {}, 3),  # without streams, once in two hours
        ([0, 7200, 14400, 21600], False, {}, None),
        ([0, 10, 20, 30], False, {"keepalive_without_streams": True}, None),
        ([0, 1, 2, 3], False, {"keepalive_without_streams": True}, 3),
        ([0, 0, 0, 0, 0], False, {"keepalive_min_time_seconds": 0}, None),
    ],
)
def test_strikes(times: list[float], has_streams: bool, options: dict[str, object], too_many: int | None) -> None:
    found = strikes(times, has_streams, **options)
    assert found.index(True) == too_many if too_many is not None else not any(found)


def test_what_we_send_forgives_all_strikes() -> None:
    enforcement = PingEnforcement(Http2Options())
    for _ in range(3):
        for now in range(1 + limits.GRPC_PING_STRIKES):
            assert not enforcement.is_too_many(now / 10, True)
        enforcement.forgiven = True


def test_a_silent_peer_is_pinged_and_given_up() -> None:
    keepalive = Keepalive(Http2Options(keepalive_interval_seconds=10, keepalive_timeout_seconds=3))
    assert [keepalive.look(now, True) for now in (9, 10, 11, 12, 13)] == [
        Due.NOTHING,
        Due.PING,
        Due.NOTHING,
        Due.NOTHING,
        Due.GIVE_UP,
    ]


def test_anything_heard_counts_as_an_answer() -> None:
    keepalive = Keepalive(Http2Options(keepalive_interval_seconds=10, keepalive_timeout_seconds=3))
    assert keepalive.look(10, True) is Due.PING
    keepalive.last_heard_at = 11
    assert keepalive.look(13, True) is Due.NOTHING
    assert keepalive.look(20, True) is Due.NOTHING
    assert keepalive.look(21, True) is Due.PING


def test_no_ping_when_it_is_not_allowed_or_not_wanted() -> None:
    assert Keepalive(Http2Options(keepalive_interval_seconds=10)).look(100, False) is Due.NOTHING
    assert Keepalive(Http2Options(keepalive_interval_seconds=0)).look(1e9, True) is Due.NOTHING
