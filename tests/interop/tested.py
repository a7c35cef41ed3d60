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
from pathlib import Path
from typing import Final

from tests.interop.clusters.cluster import Cluster
from tests.interop.processes import ServerProcess
from tests.interop.servers import Certificates, Server, start_dualmode, start_etcd, start_proxy

TARGET: Final = os.environ.get("INTEROP_TARGET", "dualmode")
#: Of how many members a proxy has behind it.
IS_PROXY: Final = TARGET.startswith("proxy-")
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

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def start_tested(
    directory: Path, tls: Certificates | None = None, flags: tuple[str, ...] = (), name: str = "dualmode"
) -> Server:
    """What `INTEROP_TARGET` says. `flags` are the members'; `tls` is what clients meet, and what members do too."""
    if not IS_PROXY:
        return (start_etcd if TARGET == "etcd" else start_dualmode)(directory, tls, flags, name)
    with ExitStack() as stack:
        members, data_directory, endpoints = _start_behind(directory, tls, flags, name, stack)
        more = (
            () if tls is None else (f"--cacert={tls.authority}", f"--cert={tls.nameless}", f"--key={tls.nameless_key}")
        )
        proxy = stack.enter_context(start_proxy(directory, endpoints, tls, flags=more, probe="/version"))
        return Proxied(proxy, members, data_directory, stack.pop_all())
    raise AssertionError("unreachable")


def _start_behind(
    directory: Path, tls: Certificates | None, flags: tuple[str, ...], name: str, stack: ExitStack
) -> tuple[list[ServerProcess], Path, str]:
    if TARGET == "proxy-three":
        cluster = stack.enter_context(Cluster(directory, flags))
        cluster.start_new(dict.fromkeys((name, f"{name}2", f"{name}3"), "dualmode"))
        endpoints = ",".join(f"http://{member.target}" for member in cluster.members.values())
        return [member.running for member in cluster.members.values()], directory / name, endpoints
    start = start_etcd if TARGET == "proxy-etcd" else start_dualmode
    server = stack.enter_context(start(directory, tls, flags, name))
    return [server.process], server.data_directory, server.url
