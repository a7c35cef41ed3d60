"""`--max-connections`, in both modes."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.interop.clusters.cluster import eventually
from tests.interop.processes import free_port
from tests.interop.servers import start_dualmode, start_proxy

pytestmark = pytest.mark.interop


def is_closed(host: str, port: int, sock: socket.socket) -> bool:
    """Whether the server closes a connection to which nothing was sent."""
    sock.connect((host, port))
    sock.settimeout(1)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False


@pytest.mark.parametrize("mode", ["member", "proxy"])
def test_further_connections_are_closed_and_counted(tmp_path: Path, mode: str) -> None:
    metrics_url = f"http://127.0.0.1:{free_port()}"
    log = tmp_path / "log"
    flags = ("--max-connections=3", f"--listen-metrics-urls={metrics_url}", f"--log-outputs={log}")
    if mode == "proxy":
        started, page = (
            start_proxy(tmp_path, "http://127.0.0.1:1", flags=flags, probe="/proxy/metrics"),
            "/proxy/metrics",
        )
    else:
        started, page = start_dualmode(tmp_path, flags=flags), "/metrics"

    def number(name: str) -> int:
        text = httpx.get(metrics_url + page).text  # the listener for metrics has places of its own
        return int(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])

    with started as server, ExitStack() as stack:
        host, _, port = server.target.rpartition(":")
        eventually(lambda: number("dualmode_connections") == 0, "the end of the connections of the start")
        sockets = [stack.enter_context(socket.socket()) for _ in range(5)]
        before = number("dualmode_connections_refused_total")
        closed = [is_closed(host, int(port), sock) for sock in sockets]
        assert closed == [False] * 3 + [True] * 2
        assert number("dualmode_connections") == 3
        assert number("dualmode_connections_refused_total") - before == 2
        assert log.read_text().count("too many connections") == 1
        sockets[0].close()
        eventually(lambda: httpx_answers(server.url), "a place")


def httpx_answers(url: str) -> bool:
    """Whether there is a place again."""
    try:
        return httpx.get(f"{url}/version").status_code in (200, 503)
    except httpx.HTTPError:
        return False
