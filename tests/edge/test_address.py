"""Listen URLs become sockets."""

import pytest

from dualmode.edge.address import Place, Target, parse_url, places
from dualmode.errors import StartError


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:2379", Target(False, "127.0.0.1", 2379)),
        ("https://[::1]:2379", Target(True, "::1", 2379)),
        ("http://localhost:0", Target(False, "localhost", 0)),
        ("localhost:2379", Target(False, "localhost", 2379)),
        ("http://10.0.0.1:2379/", Target(False, "10.0.0.1", 2379)),
        ("unix:///run/etcd.sock", Target(False, path="/run/etcd.sock")),
        ("unixs://localhost:2379", Target(True, path="localhost:2379")),
    ],
)
def test_urls_are_taken_apart(url: str, target: Target) -> None:
    assert parse_url(url) == target


@pytest.mark.parametrize("url", ["http://127.0.0.1:2379", "https://[::1]:2379", "unix:///run/etcd.sock", "unixs://a"])
def test_targets_go_back_to_their_url(url: str) -> None:
    assert parse_url(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1:21",
        "http://127.0.0.1",
        "http://:x",
        "http://127.0.0.1:70000",
        "http://127.0.0.1:2379/path",
        "http://127.0.0.1:2379?query",
        "http://user@127.0.0.1:2379",
        "http://[::1:2379",
        "unix://",
        "unix:///a\0b",
        "",
    ],
)
def test_other_urls_are_refused_by_name(url: str) -> None:
    with pytest.raises(StartError) as raised:
        parse_url(url)
    assert str(raised.value).startswith(url)


def test_the_same_address_given_twice_is_one_socket_for_both() -> None:
    plain, tls, other = "http://127.0.0.1:1", "https://127.0.0.1:1", "https://127.0.0.1:2"
    assert places([plain, other, tls, plain]) == [
        Place(Target(False, "127.0.0.1", 1), allows_plain=True, allows_tls=True),
        Place(Target(True, "127.0.0.1", 2), allows_plain=False, allows_tls=True),
    ]
    assert places([tls, plain])[0].urls == (plain, tls)


def test_any_free_port_twice_is_two_sockets() -> None:
    assert len(places(["http://127.0.0.1:0", "http://127.0.0.1:0"])) == 2


def test_a_unix_socket_is_shared_too() -> None:
    assert places(["unix:///a", "unixs:///a"]) == [Place(Target(False, path="/a"), True, True)]
