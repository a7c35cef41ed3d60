"""Does: what is measured: one member or a cluster of three, ours or etcd's, and which of its members a load goes to."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import grpc

from tests.bench import authorised
from tests.bench.costs import cpu_seconds, resident_mib
from tests.bench.http2_client import Header
from tests.bench.workloads import Topology
from tests.interop.clusters.cluster import eventually
from tests.interop.grpc_client import Client, connect
from tests.interop.processes import ServerFailedError, ServerProcess, answers_http, free_port
from tests.interop.servers import DUALMODE, ETCD, START_ATTEMPTS, Certificates, Server, make_certificates, start_member

#: `make wheel` puts the compiled modules there.
COMPILED = Path(__file__).parents[2] / "build" / "compiled"
PROGRAMS: dict[str, tuple[str, ...]] = {
    "etcd": (str(ETCD),),
    "dualmode": (*DUALMODE, "member"),
    # -P: what is in the current folder, the plain modules, is not looked at.
    "compiled": ("env", f"PYTHONPATH={COMPILED}", sys.executable, "-P", "-m", "dualmode", "member"),
}
#: The same for both. fsync stays on, the data directories lie beside each other.
FLAGS = ("--snapshot-count=100000", "--quota-backend-bytes=4294967296")
#: Three members and a loader on a few cores: a leader must not lose its office because it waited for a core.
CLUSTER_FLAGS = ("--heartbeat-interval=500", "--election-timeout=5000")


class OpenCertificates(Certificates):
    """Of a server that asks clients for none: h2load has none to show."""

    def server_flags(self) -> list[str]:
        return [f"--cert-file={self.server_certificate}", f"--key-file={self.server_key}"]


def open_certificates(directory: Path) -> Certificates:
    """Made for this run."""
    return OpenCertificates(**asdict(make_certificates(directory)))


@dataclass
class Target:
    """The members of one side, with a client for each, and what every call of a loader has to bring."""

    servers: list[Server]
    clients: list[Client] = field(init=False)
    headers: tuple[Header, ...] = ()

    def __post_init__(self) -> None:
        self.clients = [connect(server) for server in self.servers]

    def turn_auth_on(self) -> None:
        """From here on every call is that of an ordinary user. Tokens live for minutes and each use prolongs them."""
        self.close()
        client = authorised.turn_on(self.servers[0])
        self.clients = [client]
        self.headers = ((b"token", client.token.encode()),)

    @property
    def client(self) -> Client:
        return self.clients[0]

    def leader(self) -> int:
        """Which of the members leads now."""

        def found() -> list[int]:
            leading = []
            for number, client in enumerate(self.clients):
                with contextlib.suppress(grpc.RpcError):
                    status = client.Status()
                    if status.leader == status.header.member_id:
                        leading.append(number)
            return leading if len(leading) == 1 else []

        return int(eventually(found, "a leader")[0])

    def loaded(self, topology: Topology) -> list[Server]:
        """The members that a load is sent to."""
        return self.servers if topology.is_spread else [self.servers[self.leader()]]

    def settle(self, key: bytes) -> None:
        """Returns once every member has applied all that was acknowledged: its cost belongs to the run."""
        for client in self.clients:
            client.Range(key=key)

    def cpu_seconds(self) -> float:
        """Of all members together."""
        return sum(cpu_seconds(server.process.pid) for server in self.servers)

    def resident_mib(self) -> float:
        """Of the largest member."""
        return max(resident_mib(server.process.pid) for server in self.servers)

    def close(self) -> None:
        for client in self.clients:
            client.close()


@contextlib.contextmanager
def started(
    program: str, name: str, topology: Topology, directory: Path, tls: Certificates | None = None
) -> Iterator[Target]:
    """Runs the members that a topology wants; `name` makes their names."""
    with contextlib.ExitStack() as stack:
        if topology.members == 1:
            servers = [stack.enter_context(start_member(PROGRAMS[program], name, directory, tls, FLAGS))]
        else:
            servers = stack.enter_context(_cluster(PROGRAMS[program], name, topology.members, directory))
        target = Target(servers)
        stack.callback(target.close)
        if topology.has_auth:
            target.turn_auth_on()
        yield target


@contextlib.contextmanager
def _cluster(program: tuple[str, ...], name: str, members: int, directory: Path) -> Iterator[list[Server]]:
    """A new cluster on loopback, its members speaking to each other without anything in between."""
    for attempt in range(1, START_ATTEMPTS + 1):
        servers = _make_cluster(program, [f"{name}-{number}" for number in range(members)], directory)
        try:
            for server in servers:
                server.process.launch()
            for server in servers:
                server.process.wait_ready()
            break
        except ServerFailedError:  # another process may have been quicker to take a port
            for server in servers:
                server.process.kill()
                shutil.rmtree(server.data_directory, ignore_errors=True)
            if attempt == START_ATTEMPTS:
                raise
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


def _make_cluster(program: tuple[str, ...], names: list[str], directory: Path) -> list[Server]:
    peer_urls = {name: f"http://127.0.0.1:{free_port()}" for name in names}
    initial = ",".join(f"{name}={url}" for name, url in peer_urls.items())
    servers = []
    for name, peer_url in peer_urls.items():
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [
            *program,
            f"--name={name}",
            f"--data-dir={directory / name}.etcd",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={initial}",
            *FLAGS,
            *CLUSTER_FLAGS,
        ]
        process = ServerProcess(name, command, directory, lambda port=port: answers_http("127.0.0.1", port, "/health"))  # type: ignore[misc]
        servers.append(Server(name, url, directory / f"{name}.etcd", process, None))
    return servers
