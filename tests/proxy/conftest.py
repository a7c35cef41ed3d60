"""Fixtures of the proxy tests: real etcd members and the proxy as child processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.processes import ServerProcess, answers_http, free_port
from tests.interop.servers import ETCD, Certificates, Server, make_certificates, start_etcd


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("proxy-certs"))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="module")
def tls_etcd(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Server]:
    with start_etcd(tmp_path_factory.mktemp("tls-etcd"), certificates) as server:
        yield server


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three members; the test may stop one."""
    directory = tmp_path_factory.mktemp("cluster")
    names = ("m0", "m1", "m2")
    ports = {name: (free_port(), free_port()) for name in names}
    peers = ",".join(f"{name}=http://127.0.0.1:{ports[name][1]}" for name in names)
    servers = []
    for name in names:
        client_port, peer_port = ports[name]
        url, peer_url = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
        data_directory = directory / f"{name}.etcd"
        command = [
            str(ETCD),
            f"--name={name}",
            f"--data-dir={data_directory}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={peers}",
            "--heartbeat-interval=50",
            "--election-timeout=500",
        ]

        def is_ready(port: int = client_port) -> bool:
            return answers_http("127.0.0.1", port, "/health")

        servers.append(Server(name, url, data_directory, ServerProcess(name, command, directory, is_ready), None))
    try:
        for server in servers:
            server.process.launch()
        for server in servers:
            server.process.wait_ready()
        yield servers
    finally:
        for server in servers:
            server.stop()
