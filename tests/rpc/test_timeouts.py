"""grpc-timeout, and the sweep over parked calls."""

import pytest

from dualmode import errors, limits
from dualmode.errors import RpcError
from dualmode.rpc.timeouts import Deadlines, parse_timeout


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"5S", 5), (b"250m", 0.25), (b"1u", 1e-6), (b"99999999n", 0.099999999), (b"0S", 0)],
)
def test_a_timeout(value: bytes, seconds: float) -> None:
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"S", b"5", b"5s", b"-1S", b"1.5S", b"123456789S", b" 5S", "٣S".encode()])
def test_no_timeout(value: bytes) -> None:
    with pytest.raises(ValueError, match="digits"):
        parse_timeout(value)


class Call:
    deadline_seconds = 0.0

    def __init__(self) -> None:
        self.errors: list[RpcError] = []

    def fail(self, error: RpcError) -> None:
        self.errors.append(error)


def test_a_parked_call_fails_after_its_deadline_and_never_before() -> None:
    deadlines = Deadlines()
    deadlines.tick(100.0)
    call, other = Call(), Call()
    deadlines.park(call, 1.0)
    deadlines.park(other, 3.0)
    deadlines.tick(101.0)  # parked at up to 100.5
    assert call.errors == []
    deadlines.tick(101.0 + limits.TICK_SECONDS)
    assert call.errors == [errors.DEADLINE_EXCEEDED]
    assert other.errors == []
    assert len(deadlines) == 1


def test_a_call_parked_before_the_first_tick_is_not_late_at_it() -> None:
    deadlines = Deadlines()
    call = Call()
    deadlines.park(call, 1.0)
    deadlines.tick(5000.0)
    assert call.errors == []
    deadlines.tick(5001.0)
    assert call.errors == []
    deadlines.tick(5001.0 + limits.TICK_SECONDS)
    assert call.errors == [errors.DEADLINE_EXCEEDED]


def test_an_answered_call_is_forgotten() -> None:
    deadlines = Deadlines()
    call = Call()
    deadlines.park(call, 0.0)
    deadlines.forget(call)
    deadlines.forget(call)
    deadlines.tick(1e9)
    assert call.errors == []
