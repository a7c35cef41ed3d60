"""`dualmode proxy` in front of the real etcd, used by the real etcdctl and curl's like."""

from __future__ import annotations

import base64
import json
import re
import select
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.processes import ServerProcess, answers_http, free_port
from tests.interop.servers import DUALMODE, ETCDCTL, Certificates, Server, start_proxy

pytestmark = pytest.mark.interop


def ctl(server: Server, *arguments: str, stdin: str = "", check: bool = True) -> str:
    """etcdctl's output."""
    command = [str(ETCDCTL), f"--endpoints={server.url}", *_tls_flags(server.tls), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if check and done.returncode:
        raise AssertionError(f"{arguments}: {done.stderr}\n{server.process.log_tail()}")
    return done.stdout + ("" if check else done.stderr)


def _tls_flags(tls: Certificates | None) -> list[str]:
    if tls is None:
        return []
    return [f"--cacert={tls.authority}", f"--cert={tls.client_certificate}", f"--key={tls.client_key}"]


@pytest.fixture(scope="module")
def proxy(etcd: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_proxy(tmp_path_factory.mktemp("proxy"), etcd.url) as server:
        yield server


@pytest.fixture(scope="module")
def tls_proxy(
    tls_etcd: Server, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """TLS on both sides."""
    directory = tmp_path_factory.mktemp("tls-proxy")
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    command = [
        *DUALMODE,
        "proxy",
        f"--endpoints={tls_etcd.url}",
        f"--listen-client-urls={url}",
        f"--data-dir={directory}/data",
        f"--cacert={certificates.authority}",
        f"--cert={certificates.nameless}",
        f"--key={certificates.nameless_key}",
        *certificates.server_flags(),
    ]
    context = certificates.client_context()
    process = ServerProcess(
        "tls-proxy", command, directory, lambda: answers_http("127.0.0.1", port, "/health", context)
    )
    with Server("tls-proxy", url, directory / "data", process, certificates) as server:
        server.start()
        yield server


@pytest.fixture(params=["plain", "tls"])
def any_proxy(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue("proxy" if request.param == "plain" else "tls_proxy")
    return server


def test_keys_transactions_and_status(any_proxy: Server) -> None:
    assert ctl(any_proxy, "put", "a", "1") == "OK\n"
    assert ctl(any_proxy, "put", "b", stdin="x" * 1_000_000) == "OK\n"
    assert ctl(any_proxy, "get", "a") == "a\n1\n"
    assert len(ctl(any_proxy, "get", "b", "--print-value-only")) == 1_000_001
    compare = 'value("a") = "1"\n\nput a 2\nget a\n\nput a 3\n\n'
    assert ctl(any_proxy, "txn", stdin=compare).split() == ["SUCCESS", "OK", "a", "2"]
    assert ctl(any_proxy, "del", "b") == "1\n"
    assert "true" in ctl(any_proxy, "endpoint", "status")
    assert "is healthy" in ctl(any_proxy, "endpoint", "health", check=False)
    assert "key is not provided" in ctl(any_proxy, "put", "", "1", check=False)
    assert ctl(any_proxy, "member", "list").count("started") == 1


def test_watch_and_leases(any_proxy: Server) -> None:
    command = [str(ETCDCTL), f"--endpoints={any_proxy.url}", *_tls_flags(any_proxy.tls), "watch", "w", "--prefix"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        try:
            deadline = time.monotonic() + 30
            while not select.select([watch.stdout], [], [], 0.1)[0]:  # a put may come before the watch does
                assert time.monotonic() < deadline
                ctl(any_proxy, "put", "w1", "v")
            assert [watch.stdout.readline() for _ in range(3)] == ["PUT\n", "w1\n", "v\n"]
        finally:
            watch.kill()
    lease = re.findall(r"lease (\w+) granted", ctl(any_proxy, "lease", "grant", "30"))[0]
    ctl(any_proxy, "put", "leased", "1", f"--lease={lease}")
    assert f"lease {lease} keepalived with TTL(30)" in ctl(any_proxy, "lease", "keep-alive", "--once", lease)
    assert "remaining" in ctl(any_proxy, "lease", "timetolive", lease)
    ctl(any_proxy, "lease", "revoke", lease)
    assert ctl(any_proxy, "get", "leased") == ""


def test_a_snapshot_streams_through(any_proxy: Server, tmp_path: Path) -> None:
    target = tmp_path / "snapshot.db"
    ctl(any_proxy, "snapshot", "save", str(target))
    assert target.stat().st_size > 10_000


def test_a_name_that_members_certificates_must_have(
    tls_etcd: Server, certificates: Certificates, tmp_path: Path
) -> None:
    flags = (
        f"--cacert={certificates.authority}",
        f"--cert={certificates.nameless}",
        f"--key={certificates.nameless_key}",
    )
    with start_proxy(tmp_path, tls_etcd.url, name="right", flags=(*flags, "--tls-server-name=localhost")) as right:
        assert ctl(right, "put", "name", "1") == "OK\n"
        assert call(f"{right.url}/v3/kv/range", {"key": "bmFtZQ=="})[2]["kvs"][0]["value"] == "MQ=="
    wrong_name = (*flags, "--tls-server-name=other.example")
    with start_proxy(tmp_path, tls_etcd.url, name="wrong", flags=wrong_name, probe="/proxy/metrics") as wrong:
        assert (
            "other.example" in ctl(wrong, "--command-timeout=1s", "get", "name", check=False) + wrong.process.log_tail()
        )
        assert call(f"{wrong.url}/v3/kv/range", {"key": "bmFtZQ=="})[0] == 503


def call(url: str, body: dict[str, Any] | None = None) -> tuple[int, Any, Any]:
    """Status, headers and JSON of a plain request."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())


def test_json_over_tls_leaves_grpc_alone(tls_etcd: Server, tls_proxy: Server) -> None:
    """Both share certificates, but what they offer by ALPN differs."""
    assert tls_proxy.tls is not None
    context = tls_proxy.tls.client_context()
    with urllib.request.urlopen(f"{tls_proxy.url}/version", timeout=10, context=context) as response:
        assert json.loads(response.read())["etcdserver"] == "3.5.1"
    tls_etcd.stop()
    tls_etcd.start()
    deadline = time.monotonic() + 15
    while "OK" not in ctl(tls_proxy, "put", "again", "1", check=False):
        assert time.monotonic() < deadline, tls_proxy.process.log_tail()


def test_json_and_status_pages(proxy: Server) -> None:
    key = base64.b64encode(b"json").decode()
    status, headers, _ = call(f"{proxy.url}/v3/kv/put", {"key": key, "value": key})
    assert status == 200
    assert headers.get_all("Access-Control-Allow-Origin") == ["*"]
    _, _, found = call(f"{proxy.url}/v3/kv/range", {"key": key})
    assert found["kvs"][0]["value"] == key
    status, _, error = call(f"{proxy.url}/v3/kv/put", {"value": key})
    assert (status, error["code"]) == (400, 3)
    assert call(f"{proxy.url}/version")[2]["etcdserver"] == "3.5.1"
    assert call(f"{proxy.url}/health")[2]["health"] == "true"


def test_a_json_watch_streams(proxy: Server) -> None:
    key = base64.b64encode(b"jw").decode()
    body = json.dumps({"create_request": {"key": key}}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{proxy.url}/v3/watch", body), timeout=10) as response:
        assert json.loads(response.readline())["result"]["created"] is True
        for value in (b"1", b"2"):
            encoded = base64.b64encode(value).decode()
            call(f"{proxy.url}/v3/kv/put", {"key": key, "value": encoded})
            assert json.loads(response.readline())["result"]["events"][0]["kv"]["value"] == encoded


def test_fail_over_and_nobody_left(cluster: list[Server], tmp_path: Path) -> None:
    with start_proxy(tmp_path, ",".join(server.url for server in cluster)) as proxy:
        ctl(proxy, "put", "a", "0")
        used = re.findall(r'"endpoint":"([^"]+)"', proxy.process.log_tail())[-1]
        (first,) = [server for server in cluster if server.url == used]
        first.process.kill()
        done = time.monotonic() + 15
        while "OK" not in ctl(proxy, "put", "a", "1", check=False):
            assert time.monotonic() < done, proxy.process.log_tail()
        assert ctl(proxy, "get", "a") == "a\n1\n"
        assert call(f"{proxy.url}/health")[2]["health"] == "true"
        for server in cluster:
            if server is not first:
                server.process.kill()
        assert "no endpoint is available" in ctl(proxy, "--command-timeout=3s", "get", "a", check=False)
        status, _, error = call(f"{proxy.url}/v3/kv/range", {"key": "YQ=="})
        assert (status, error["code"]) == (503, 14)
        assert "no endpoint is available" in error["message"]
        assert proxy.process.stop() == 0
