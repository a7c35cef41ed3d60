"""`dualmode proxy --mode tcp` and the real `etcd gateway start`, through the same scenarios."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.interop.clusters.cluster import Cluster, eventually
from tests.interop.grpc_client import Client
from tests.interop.processes import ServerProcess, answers_http, environment, free_port
from tests.interop.servers import DUALMODE, ETCD, ETCDCTL, Certificates, make_certificates, start_etcd

pytestmark = pytest.mark.interop

PROGRAMS = {"dualmode": (*DUALMODE, "proxy", "--mode=tcp"), "etcd": (str(ETCD), "gateway", "start")}


class Gateway:
    """One of the two, by the flags that both have. Ready when a member behind it answers."""

    def __init__(self, program: str, directory: Path, *flags: str, context: ssl.SSLContext | None = None) -> None:
        port = self.port = free_port()
        command = [*PROGRAMS[program], f"--listen-addr=127.0.0.1:{port}", *flags]
        self.process = ServerProcess(
            "gateway", command, directory, lambda: answers_http("127.0.0.1", port, "/version", context)
        )

    def __enter__(self) -> Gateway:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"


def ctl(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ETCDCTL), f"--endpoints={target}", "--command-timeout=5s", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env=environment() | {"ETCDCTL_API": "3"},
    )


def said(target: str, *arguments: str) -> str:
    done = ctl(target, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_member_is_lost_and_comes_back(tmp_path: Path, program: str) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_new({"e0": "etcd", "e1": "dualmode", "e2": "etcd"})
        cluster.wait_for_leader()
        cluster.move_leader("e2")  # who stays: what a lost leader costs is not the gateway's to show
        first, second = cluster.members["e0"], cluster.members["e1"]
        flags = f"--endpoints={first.target},http://{second.target}", "--retry-delay=300ms"
        with Gateway(program, tmp_path, *flags) as gateway:
            assert said(gateway.target, "put", "a", "1") == "OK"
            # A new connection for each call: they take turns.
            assert {member_of(gateway) for _ in range(4)} == {first.id, second.id}
            cluster.kill("e0")
            for number in range(3):
                assert said(gateway.target, "put", "a", f"after {number}") == "OK"
            assert {member_of(gateway) for _ in range(3)} == {second.id}
            cluster.restart("e0")
            eventually(lambda: member_of(gateway) == first.id, "the first member is used again")
            cluster.kill("e1")
            assert said(gateway.target, "get", "a", "--print-value-only") == "after 2"


def member_of(gateway: Gateway) -> int:
    """Which member a call comes to."""
    answer = json.loads(said(gateway.target, "get", "a", "--consistency=s", "--write-out=json"))
    return int(answer["header"]["member_id"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("gateway-certs"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_tls_passes_through(tmp_path: Path, certificates: Certificates, program: str) -> None:
    """The member sees the client's own certificate, and refuses who has none."""
    with start_etcd(tmp_path, certificates) as server:
        context = certificates.client_context()
        with Gateway(program, tmp_path, f"--endpoints={server.url}", context=context) as gateway:
            url, authority = f"https://{gateway.target}", f"--cacert={certificates.authority}"
            pair = [f"--cert={certificates.client_certificate}", f"--key={certificates.client_key}"]
            assert said(url, authority, *pair, "put", "a", "1") == "OK"
            assert said(url, authority, *pair, "get", "a", "--print-value-only") == "1"
            assert ctl(url, authority, "--command-timeout=1s", "get", "a").returncode != 0
            assert ctl(gateway.target, "--command-timeout=1s", "get", "a").returncode != 0


def test_it_keeps_nothing_and_stops_in_order_with_clients_connected(tmp_path: Path) -> None:
    with start_etcd(tmp_path) as server:
        directory = tmp_path / "empty"
        directory.mkdir()
        metrics = free_port()
        flags = (
            f"--endpoints={server.url}",
            f"--data-dir={directory / 'kept'}",
            f"--listen-metrics-urls=http://127.0.0.1:{metrics}",
        )
        with Gateway("dualmode", tmp_path, *flags) as gateway:
            client = Client(gateway.target)
            client.Put(key=b"a", value=b"1")
            assert answers_http("127.0.0.1", metrics, "/health")
            assert not answers_http("127.0.0.1", gateway.port, "/proxy/health"), "that is the member's to answer"
            server.process.kill()
            eventually(lambda: not answers_http("127.0.0.1", gateway.port, "/version"), "the member is gone")
            eventually(lambda: not answers_http("127.0.0.1", metrics, "/health"), "nobody is left")
            client.close()
            assert gateway.process.stop() == 0
        assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--listen-addr=127.0.0.1:23790", "--endpoints=http://127.0.0.1:23790"], 2, "is where this proxy itself"),
        (["--listen-addr=127.0.0.1:23790", "--endpoints=http://localhost:23790"], 1, "is where this proxy itself"),
        (["--proxy=readonly"], 2, "--proxy readonly does not go with --mode tcp"),
        (["--endpoints=http://:1"], 1, "URL must name a host"),
    ],
)
def test_what_it_does_not_start_with(tmp_path: Path, flags: list[str], code: int, told: str) -> None:
    done = subprocess.run(
        [*PROGRAMS["dualmode"], *flags],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment(),
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr


def test_a_watch_is_cut_when_it_stops(tmp_path: Path) -> None:
    with start_etcd(tmp_path) as server, Gateway("dualmode", tmp_path, f"--endpoints={server.url}") as gateway:
        said(gateway.target, "put", "a", "1")
        watcher = subprocess.Popen(
            [str(ETCDCTL), f"--endpoints={gateway.target}", "watch", "a", "--rev=1"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment() | {"ETCDCTL_API": "3"},
        )
        assert watcher.stdout is not None
        try:
            assert [watcher.stdout.readline().strip() for _ in range(3)] == ["PUT", "a", "1"]
            assert gateway.process.stop() == 0
        finally:
            watcher.send_signal(signal.SIGKILL)
            watcher.communicate()
