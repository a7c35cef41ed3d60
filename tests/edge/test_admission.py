"""Who may stay, against a model that counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import limits
from dualmode.edge.admission import Admission, host_of


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("10.0.0.1", 5000), "10.0.0.1"),
        (("::ffff:10.0.0.1", 5000, 0, 0), "10.0.0.1"),
        (("2001:db8::1", 5000, 0, 0), "2001:db8::1"),
        ("", None),
        ("/run/client.sock", None),
        (b"\0abstract", None),
    ],
)
def test_what_counts_as_one_address(address: object, host: str | None) -> None:
    assert host_of(address) == host


def test_limits_of_zero_are_none() -> None:
    admission = Admission()
    for _ in range(1000):
        assert admission.refusal("a") == ""
        admission.enter("a")
    assert admission.open == 1000


_steps = st.lists(st.tuples(st.sampled_from(["come", "go"]), st.sampled_from(["a", "b", None])), max_size=60)


@given(st.integers(0, 5), st.integers(0, 3), _steps)
def test_any_coming_and_going(total: int, per_address: int, steps: list[tuple[str, str | None]]) -> None:
    admission, inside = Admission(total, per_address), list[str | None]()
    for step, address in steps:
        if step == "come":
            is_full = bool(total) and len(inside) >= total
            is_busy = bool(per_address) and address is not None and inside.count(address) >= per_address
            assert bool(admission.refusal(address)) == (is_full or is_busy)
            if not admission.refusal(address):
                admission.enter(address)
                inside.append(address)
        elif address in inside:
            inside.remove(address)
            admission.leave(address)
        assert admission.open == len(inside)
    for address in inside:
        admission.leave(address)
    assert admission.open == 0
    assert admission._of_address == {}


def test_a_refusal_says_which_limit() -> None:
    admission = Admission(2, 1)
    admission.enter("a")
    assert admission.refusal("a") == "--max-connections-per-address=1"
    assert admission.refusal(None) == ""
    admission.enter(None)
    assert admission.refusal("b") == admission.refusal(None) == "--max-connections=2"


def test_refusals_are_all_counted_and_seldom_logged() -> None:
    admission, later = Admission(1), limits.REFUSAL_LOG_SECONDS
    assert [admission.refuse(now) for now in (5.0, 6.0, 5 + later - 1, 5 + later, 6 + later)] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert admission.refused == 5
