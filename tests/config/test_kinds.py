"""Kinds: what each takes, what it says about the rest, and the way back to text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.config import kinds
from dualmode.config.kinds import Kind
from dualmode.config.urls import Url


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.SWITCH, "T", True),
        (kinds.SWITCH, "True", True),
        (kinds.SWITCH, "0", False),
        (kinds.COUNT, "0x10", 16),
        (kinds.COUNT, "1_000", 1000),
        (kinds.NUMBER, "-1", -1),
        (kinds.MILLISECONDS, "100", 100),
        (kinds.LIST, " a, b,,c", ("a", "b", "c")),
        (kinds.LIST, "", ()),
        (kinds.URLS, "", ()),
        (kinds.ENDPOINTS, "b:1,a:2,b:1", (Url("http", "b", 1), Url("http", "a", 2))),
        (kinds.choice("on", "off"), "on", "on"),
        (kinds.TEXT, " as it is ", " as it is "),
    ],
)
def test_parses(kind: Kind, text: str, value: Any) -> None:
    assert kind.parse(text) == value
    assert kind.parse(kind.show(value)) == value


@pytest.mark.parametrize(
    ("kind", "text", "fault"),
    [
        (kinds.SWITCH, "yes", 'invalid boolean value "yes"'),
        (kinds.SWITCH, "tRUE", "invalid boolean value"),
        (kinds.COUNT, "-1", "-1 is negative"),
        (kinds.COUNT, "1.5", '"1.5" is not a whole number'),
        (kinds.COUNT, "", '"" is not a whole number'),
        (kinds.COUNT, "9" * 10_000, "is not a whole number"),
        (kinds.DURATION, "5", "missing unit"),
        (kinds.choice("on", "off"), "On", '"On" is not one of on, off'),
    ],
)
def test_refuses(kind: Kind, text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        kind.parse(text)


def test_integers_of_the_file() -> None:
    assert kinds.DURATION.parse(kinds.DURATION.from_integer(600_000_000_000)) == 600_000_000_000
    assert kinds.COUNT.from_integer(7) == "7"


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.sets(st.integers(1, 9), min_size=1), max_size=4)
)
def test_cluster_round_trip(ports_by_name: dict[str, set[int]]) -> None:
    members = {name: tuple(Url("http", "h", port) for port in sorted(ports)) for name, ports in ports_by_name.items()}
    assert kinds.CLUSTER.parse(kinds.CLUSTER.show(members)) == members
