"""Does: starts what is under test: by `INTEROP_TARGET`, a member, or a proxy in front of what it names.

    dualmode          our member (the default)
    etcd              etcd itself: shows that the tests are right
    proxy-dualmode    our proxy in front of our member
    proxy-three       ... of three of our members
    proxy-etcd        ... of etcd

So every test of a single member can be run through a proxy as it is.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.interop.clusters.cluster import Cluster
from tests.interop.grpc_client import connect
from tests.interop.processes import ServerProcess
from tests.interop.servers import Certificates, Server, start_dualmode, start_etcd, start_proxy

TARGET: Final = os.environ.get("INTEROP_TARGET", "dualmode")
#: Of how many members a proxy has behind it.
IS_PROXY: Final = TARGET.startswith("proxy-")
#: Some answers list every member, and no two clusters of different sizes can say the same there.
HAS_OTHERS: Final = TARGET == "proxy-three"
IS_OURS: Final = TARGET in ("dualmode", "proxy-dualmode", "proxy-three")


class Proxied(Server):
    """A proxy that stands for what is behind it: both are stopped and started as one, in order."""

    def __init__(self, proxy: Server, members: list[ServerProcess], data_directory: Path, stack: ExitStack) -> None:
        super().__init__(proxy.name, proxy.url, data_directory, members[0], proxy.tls)
        self._proxy = proxy
        self._members = members
        self._stack = stack

    def launch(self) -> None:
        for process in (*self._members, self._proxy.process):
            process.launch()

    def start(self) -> None:
        self.launch()
        for process in (*self._members, self._proxy.process):
            process.wait_ready()

    def stop(self) -> int | None:
        return [process.stop() for process in (self._proxy.process, *self._members)][1]

    def kill(self) -> None:
        for process in self._members:
            process.kill()

    def revive(self) -> None:
        for process in self._members:
            process.launch()
        for process in self._members:
            process.wait_ready()

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Behind:
    """What a proxy stands in front of."""

    members: list[ServerProcess]
    data_directory: Path
    endpoints: str
    cluster: Cluster | None = None


def start_tested(
    directory: Path, tls: Certificates | None = None, flags: tuple[str, ...] = (), name: str = "dualmode"
) -> Server:
    """What `INTEROP_TARGET` says. `flags` are the members'; `tls` is what clients meet, and what members do too."""
    if not IS_PROXY:
        return (start_etcd if TARGET == "etcd" else start_dualmode)(directory, tls, flags, name)
    with ExitStack() as stack:
        behind = _start_behind(directory, tls, flags, name, stack)
        more: tuple[str, ...] = ()
        if tls is not None:
            more = f"--cacert={tls.authority}", f"--cert={tls.nameless}", f"--key={tls.nameless_key}"
        proxy = stack.enter_context(start_proxy(directory, behind.endpoints, tls, flags=more, probe="/version"))
        if behind.cluster is not None:
            _have_its_member_lead(proxy, behind.cluster)
        return Proxied(proxy, behind.members, behind.data_directory, stack.pop_all())
    raise AssertionError("unreachable")


def _start_behind(
    directory: Path, tls: Certificates | None, flags: tuple[str, ...], name: str, stack: ExitStack
) -> Behind:
    if HAS_OTHERS:
        cluster = stack.enter_context(Cluster(directory, flags))
        cluster.start_new(dict.fromkeys((name, f"{name}2", f"{name}3"), "dualmode"))
        endpoints = ",".join(f"http://{member.target}" for member in cluster.members.values())
        members = [member.running for member in cluster.members.values()]
        return Behind(members, directory / name, endpoints, cluster)
    start = start_etcd if TARGET == "proxy-etcd" else start_dualmode
    server = stack.enter_context(start(directory, tls, flags, name))
    return Behind([server.process], server.data_directory, server.url)


def _have_its_member_lead(proxy: Server, cluster: Cluster) -> None:
    """As one that is alone does: some calls are answered by a leader only."""
    with connect(proxy) as client:
        member_id = client.Status().header.member_id
    cluster.move_leader(next(name for name, member in cluster.members.items() if member.id == member_id))
