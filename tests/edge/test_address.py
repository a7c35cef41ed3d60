"""Listen URLs become sockets."""

import pytest

from dualmode.edge.address import Place, places
from dualmode.errors import StartError
from dualmode.urls import Url


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:21", "http://127.0.0.1", "http://:2379", "unix://", ""])
def test_what_cannot_be_bound_is_refused(url: str) -> None:
    with pytest.raises(StartError, match="URL"):
        places(["http://127.0.0.1:1", url])


def test_the_same_address_given_twice_is_one_socket_for_both() -> None:
    plain, tls, other = "http://127.0.0.1:1", "https://127.0.0.1:1", "https://127.0.0.1:2"
    assert places([plain, other, tls, plain]) == [
        Place(Url("http", "127.0.0.1", 1), allows_plain=True, allows_tls=True),
        Place(Url("https", "127.0.0.1", 2), allows_plain=False, allows_tls=True),
    ]
    assert places([tls, plain])[0].urls == (plain, tls)


def test_any_free_port_twice_is_two_sockets() -> None:
    assert len(places(["http://127.0.0.1:0", "http://127.0.0.1:0"])) == 2


def test_a_unix_socket_is_shared_too() -> None:
    assert places(["unix:///a", "unixs:///a"]) == [Place(Url("unix", path="/a"), True, True)]


def test_sockets_say_what_they_serve() -> None:
    assert places(["unixs:///a", "unix:///a"])[0].urls == ("unix:///a", "unixs:///a")
    assert places(["https://[::1]:5"])[0].urls == ("https://[::1]:5",)
