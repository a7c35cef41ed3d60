"""Lists of URLs and members: etcd's order, rules and texts."""

from __future__ import annotations

import pytest

from dualmode.config.urls import is_bindable, parse_initial_cluster, parse_urls
from dualmode.urls import parse_url


def test_lists_are_sorted_and_hold_every_url_once() -> None:
    assert list(map(str, parse_urls("http://b:1,http://a:2,http://b:1"))) == ["http://a:2", "http://b:1"]
    assert parse_urls(" ") == ()


def test_what_can_be_bound() -> None:
    bindable = ["http://localhost:1", "http://0.0.0.0:1", "http://[::]:1", "http://[fe80::1%eth0]:1", "unix:///a"]
    assert all(is_bindable(parse_url(text)) for text in bindable)
    assert not any(is_bindable(parse_url(text)) for text in ["http://example.org:1", "http://:1", "http://1.2.3:1"])


def test_initial_cluster() -> None:
    members = parse_initial_cluster("a=http://h:1,b=http://h:3,a=http://h:0,, a=http://h:1")
    assert {name: list(map(str, urls)) for name, urls in members.items()} == {
        "a": ["http://h:0", "http://h:1"],
        "b": ["http://h:3"],
    }
    assert parse_initial_cluster("") == {}


@pytest.mark.parametrize("text", ["a", "=http://h:1", "a=", "a=h:1"])
def test_refuses_initial_cluster(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid member|URL scheme"):
        parse_initial_cluster(text)
