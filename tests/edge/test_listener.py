"""Binding: what works, and one clear sentence for what does not."""

import os
import socket
from pathlib import Path

import pytest

from dualmode.edge.address import Place, places
from dualmode.edge.listener import bind, bind_all
from dualmode.errors import StartError


def one(url: str) -> Place:
    return places([url])[0]


def test_port_zero_gets_a_real_port_that_answers() -> None:
    listener = bind(one("http://127.0.0.1:0"))
    try:
        assert listener.place.target.port > 0
        assert not listener.sock.getblocking()
        socket.create_connection(("127.0.0.1", listener.place.target.port), timeout=2).close()
    finally:
        listener.close()


def test_a_port_in_use_is_named() -> None:
    first = bind(one("http://127.0.0.1:0"))
    try:
        with pytest.raises(StartError, match=f"http://127.0.0.1:{first.place.target.port}: .*already in use"):
            bind(one(str(first.place.target)))
    finally:
        first.close()


def test_reuse_port_lets_two_processes_share() -> None:
    first = bind(one("http://127.0.0.1:0"), reuse_port=True)
    try:
        bind(one(str(first.place.target)), reuse_port=True).close()
    finally:
        first.close()


def test_a_port_can_be_bound_again_while_old_connections_are_remembered() -> None:
    listener = bind(one("http://127.0.0.1:0"))
    client = socket.create_connection(("127.0.0.1", listener.place.target.port), timeout=2)
    listener.sock.setblocking(True)
    server, _ = listener.sock.accept()
    server.close()  # the side that closes first keeps the pair in TIME_WAIT
    client.close()
    listener.close()
    bind(one(str(listener.place.target))).close()


def test_foreign_and_unknown_addresses_are_refused() -> None:
    with pytest.raises(StartError, match="no such address"):
        bind(one("http://192.0.2.1:0"))
    with pytest.raises(StartError, match="not known"):
        bind(one("http://name.invalid:0"))


def test_all_or_none_are_bound() -> None:
    taken = bind(one("http://127.0.0.1:0"))
    free = bind(one("http://127.0.0.1:0"))
    free.close()
    try:
        with pytest.raises(StartError):
            bind_all([free.place, taken.place])
        bind(free.place).close()
    finally:
        taken.close()


def test_a_unix_socket_is_made_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = bind(one(f"unix://{path}"))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    assert not path.exists()
    listener.close()


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind(one(f"unix://{path}")).sock.close()  # as if the process had died
    assert path.exists()
    bind(one(f"unix://{path}")).close()


def test_a_socket_file_that_answers_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = bind(one(f"unix://{path}"))
    try:
        with pytest.raises(StartError, match="already in use"):
            bind(one(f"unix://{path}"))
        assert path.exists()
    finally:
        first.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(StartError, match="not a socket"):
        bind(one(f"unix://{path}"))
    assert path.read_text() == "precious"


def test_only_our_own_socket_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = bind(one(f"unix://{path}"))
    os.unlink(path)
    second = bind(one(f"unix://{path}"))
    first.close()
    assert path.exists()
    second.close()


def test_bad_unix_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="directory does not exist"):
        bind(one(f"unix://{tmp_path}/none/s"))
    with pytest.raises(StartError, match="too long"):
        bind(one(f"unix://{tmp_path}/{'x' * 200}"))


def test_one_socket_serves_both_schemes() -> None:
    listeners = bind_all(places(["http://127.0.0.1:0"]))
    target = listeners[0].place.target
    listeners[0].close()
    both = bind_all(places([f"http://{target.address}", f"https://{target.address}"]))
    try:
        assert len(both) == 1
    finally:
        both[0].close()
