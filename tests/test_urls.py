"""URLs: etcd's rules and texts, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.errors import StartError
from dualmode.urls import Url, parse_address, parse_endpoint, parse_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:2379", Url("http", "127.0.0.1", 2379)),
        ("https://localhost:0", Url("https", "localhost", 0)),
        ("http://[::1]:2379", Url("http", "::1", 2379)),
        ("http://[fe80::1%eth0]:1", Url("http", "fe80::1%eth0", 1)),
        ("HTTP://host.example:65535/", Url("http", "host.example", 65535)),
        (" http://a:1 ", Url("http", "a", 1)),
        ("http://:2379", Url("http", "", 2379)),
        ("unix://localhost:2379", Url("unix", path="localhost:2379")),
        ("unixs:///run/a b.sock", Url("unixs", path="/run/a b.sock")),
    ],
)
def test_parses(text: str, url: Url) -> None:
    assert parse_url(text) == url
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("127.0.0.1:2379", "URL scheme must be http, https, unix, or unixs"),
        ("ftp://a:1", "URL scheme must be http, https, unix, or unixs"),
        ("", "URL scheme must be"),
        ("http://a", 'URL address does not have the form "host:port"'),
        ("http://a:", 'does not have the form "host:port"'),
        ("http://a:b", 'does not have the form "host:port"'),
        ("http://a:-1", 'does not have the form "host:port"'),
        ("http://a:\u0661", 'does not have the form "host:port"'),
        ("http://::1:2379", 'does not have the form "host:port"'),
        ("http://[::1]", 'does not have the form "host:port"'),
        ("http://[a]:1", 'does not have the form "host:port"'),
        ("http://u@a:1", 'does not have the form "host:port"'),
        ("http://a:1?x", 'does not have the form "host:port"'),
        ("http://a b:1", 'does not have the form "host:port"'),
        ("http://a\n:1", 'does not have the form "host:port"'),
        ("http://a:65536", "URL port must be below 65536"),
        ("http://a:999999999999", "URL port must be below 65536"),
        ("http://a:1/v3", "URL must not contain a path"),
        ("unix://", "URL must have a socket path"),
        ("unix://a\0b", "URL must have a socket path"),
    ],
)
def test_refuses(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_url(text)


def test_a_bare_endpoint_is_http() -> None:
    assert str(parse_endpoint("10.0.0.1:2379")) == "http://10.0.0.1:2379"
    assert str(parse_endpoint("https://a:1")) == "https://a:1"


def test_tls_and_socket_files() -> None:
    assert [Url(scheme, "a", 1).is_tls for scheme in ("http", "https")] == [False, True]
    assert [Url(scheme, path="a").is_tls for scheme in ("unix", "unixs")] == [False, True]
    assert Url("unixs", path="/run/a").address == "/run/a"
    assert Url("http", "::1", 1).address == "[::1]:1"


def test_an_address_has_a_host() -> None:
    assert parse_address("localhost:2379") == Url("http", "localhost", 2379)
    assert parse_address("unix:///run/etcd.sock") == Url("unix", path="/run/etcd.sock")


@pytest.mark.parametrize("text", ["http://:2379", ":2379", "ftp://127.0.0.1:21", "http://127.0.0.1", "unix://", "a b"])
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(StartError) as raised:
        parse_address(text)
    assert str(raised.value).endswith(text)


_hosts = st.one_of(
    st.ip_addresses().map(str), st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True), st.just("localhost")
)
_urls = st.one_of(
    st.builds(Url, st.sampled_from(["http", "https"]), _hosts, st.integers(0, 65535)),
    st.builds(
        lambda scheme, path: Url(scheme, path=path),
        st.sampled_from(["unix", "unixs"]),
        st.text(min_size=1).filter(lambda path: path == path.strip() and "\0" not in path),
    ),
)


@given(_urls)
def test_round_trip(url: Url) -> None:
    assert parse_url(str(url)) == url


@given(st.text(max_size=30))
def test_any_text_is_a_url_or_a_value_error(text: str) -> None:
    for scheme in ("", "http://", "unix://"):
        try:
            url = parse_url(scheme + text)
        except ValueError:
            continue
        assert parse_url(str(url)) == url
