"""Does: a cluster of member processes on loopback, ours or etcd's; members come, go, crash, freeze and are cut off.

What members say to each other goes through a relay in front of each peer port (`relay.py`), so that a test can cut one
off without any right over the machine's network.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.interop.clusters.relay import Relays
from tests.interop.processes import ServerProcess, answers_http, environment, free_port
from tests.interop.servers import DEBIAN_ETCD, DUALMODE, ETCD, ETCDCTL

PROGRAMS: dict[str, tuple[str, ...]] = {
    "dualmode": (*DUALMODE, "member"),
    "etcd": (str(ETCD),),
    "etcd-3.4": (str(DEBIAN_ETCD),),
}
TIMEOUT_SECONDS = 30.0


def eventually(found: Callable[[], Any], what: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Any:
    """What `found` gives once it is something; asked again and again, and not for ever."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:g} s: {what}")
        time.sleep(0.05)  # between two looks; the loop is bounded by the deadline above


@dataclass
class ClusterMember:
    """One member process. `peer_url` is what the others call: its relay."""

    name: str
    program: str
    directory: Path
    client_port: int
    listen_port: int
    peer_url: str
    flags: tuple[str, ...] = ()
    process: ServerProcess | None = None
    id: int = 0
    is_learner: bool = False

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def running(self) -> ServerProcess:
        assert self.process is not None, f"{self.name} does not run"
        return self.process

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.running.pid, number)


@dataclass
class Cluster:
    """Use as a context manager: leaving it stops everything."""

    directory: Path
    flags: tuple[str, ...] = ()
    #: https between members, with what TLS flags say.
    is_peer_tls: bool = False
    members: dict[str, ClusterMember] = field(default_factory=dict)
    relays: Relays = field(default_factory=Relays)

    def __enter__(self) -> Cluster:
        self.relays.start()
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            if member.process is not None:
                with contextlib.suppress(ProcessLookupError, AssertionError):
                    member.signal(signal.SIGCONT)
                member.process.kill()
        self.relays.stop()

    @property
    def _scheme(self) -> str:
        return "https" if self.is_peer_tls else "http"

    # --- Starting ----------------------------------------------------------------------------------------------

    def _make(self, name: str, program: str, flags: tuple[str, ...]) -> ClusterMember:
        listen_port = free_port()
        peer_url = f"{self._scheme}://127.0.0.1:{self.relays.open(name, listen_port)}"
        member = ClusterMember(name, program, self.directory / name, free_port(), listen_port, peer_url, flags)
        self.members[name] = member
        return member

    def start_new(self, programs: dict[str, str], flags: tuple[str, ...] = ()) -> None:
        """A new cluster of these members (name -> program)."""
        made = [self._make(name, program, flags) for name, program in programs.items()]
        initial = ",".join(f"{one.name}={one.peer_url}" for one in made)
        for one in made:
            self.launch(one, initial, "new")
        for one in made:
            one.running.wait_ready()
        self.learn_ids()

    def launch(self, member: ClusterMember, initial_cluster: str = "", state: str = "existing") -> None:
        """Starts the process; one that has data needs no initial cluster."""
        client_url = f"http://{member.target}"
        if not initial_cluster:
            initial_cluster = f"{member.name}={member.peer_url}"
        command = [
            *PROGRAMS[member.program],
            f"--name={member.name}",
            f"--data-dir={member.directory}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={self._scheme}://127.0.0.1:{member.listen_port}",
            f"--initial-advertise-peer-urls={member.peer_url}",
            f"--initial-cluster={initial_cluster}",
            f"--initial-cluster-state={state}",
            *self.flags,
            *member.flags,
        ]
        port = member.client_port
        member.process = ServerProcess(
            member.name, command, self.directory, lambda: answers_http("127.0.0.1", port, "/version")
        )
        member.process.launch()

    def learn_ids(self) -> None:
        """Who has which id, by peer URL."""
        for one in self.list():
            for member in self.members.values():
                if member.peer_url in one["peerURLs"]:
                    member.id = one["ID"]
                    member.is_learner = one["isLearner"]

    # --- Changing ----------------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        program: str,
        learner: bool = False,
        flags: tuple[str, ...] = (),
        via: str | None = None,
        wait: bool = True,
    ) -> ClusterMember:
        """Adds a member and starts it; returns when it serves, unless told not to wait."""
        member = self._make(name, program, flags)
        member.is_learner = learner
        arguments = ["member", "add", name, f"--peer-urls={member.peer_url}"]
        self._retried(*arguments, *(["--learner"] if learner else []), via=via, without=name)
        listed = self.list(via, without=name)
        initial = ",".join(f"{self._name_of(one)}={url}" for one in listed for url in one["peerURLs"])
        self.launch(member, initial)
        if wait:
            member.running.wait_ready()
            self.learn_ids()
        return member

    def _name_of(self, listed: dict[str, Any]) -> str:
        for member in self.members.values():
            if member.peer_url in listed["peerURLs"]:
                return member.name
        return str(listed["name"])

    def _retried(self, *arguments: str, via: str | None, without: str = "") -> None:
        """A change of members may find the cluster unhealthy for some seconds after the last one."""

        def tried() -> bool:
            result = self.ctl(*arguments, via=via, without=without, check=False)
            if result.returncode and "unhealthy cluster" not in result.stderr and "too many" not in result.stderr:
                raise AssertionError(f"etcdctl {' '.join(arguments)}: {result.stderr}")
            return result.returncode == 0

        eventually(tried, f"etcdctl {' '.join(arguments)}")

    def remove(self, name: str, via: str | None = None) -> None:
        """Removes a member; its process ends by itself if it runs."""
        member = self.members[name]
        via = via or next(one for one in self.members if one != name and self.members[one].process is not None)
        self._retried("member", "remove", f"{member.id:x}", via=via)
        if member.process is not None:
            child = member.process
            eventually(lambda: child._child is None or child._child.poll() is not None, f"{name} ends")
            child.kill()
        del self.members[name]

    def promote(self, name: str) -> None:
        """Makes a voter of a learner, once it has caught up."""

        def tried() -> bool:
            result = self.ctl("member", "promote", f"{self.members[name].id:x}", without=name, check=False)
            if result.returncode and "in sync" not in result.stderr:
                raise AssertionError(result.stderr)
            return result.returncode == 0

        eventually(tried, f"{name} is promoted")
        self.members[name].is_learner = False

    def stop(self, name: str) -> None:
        self.members[name].running.stop()
        self.members[name].process = None

    def kill(self, name: str) -> None:
        self.members[name].running.kill()
        self.members[name].process = None

    def restart(self, name: str) -> None:
        self.launch(self.members[name])
        self.members[name].running.wait_ready()

    @contextlib.contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """SIGSTOP for a while."""
        self.members[name].signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.members[name].signal(signal.SIGCONT)

    @contextlib.contextmanager
    def cut_off(self, name: str) -> Iterator[None]:
        """No byte between this member and the others for a while."""
        self.relays.isolate(name, self.members[name].id)
        try:
            yield
        finally:
            self.relays.heal()

    # --- Asking ------------------------------------------------------------------------------------------------

    def endpoints(self, without: str = "") -> str:
        """Of all members that run and answer everything, which learners do not."""
        members = (one for one in self.members.values() if one.process is not None and not one.is_learner)
        return ",".join(one.target for one in members if one.name != without)

    def ctl(
        self, *arguments: str, via: str | None = None, without: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """etcdctl 3.5.1 against one member, or all that run."""
        endpoints = self.members[via].target if via else self.endpoints(without)
        command = [str(ETCDCTL), f"--endpoints={endpoints}", *arguments]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment() | {"ETCDCTL_API": "3"}, check=False
        )
        if check and result.returncode:
            raise AssertionError(f"etcdctl {' '.join(arguments)}: {result.stdout}{result.stderr}")
        return result

    def list(self, via: str | None = None, without: str = "") -> list[dict[str, Any]]:
        """The members, as etcdctl has them in JSON."""
        listed: list[dict[str, Any]] = json.loads(
            self.ctl("member", "list", "-w", "json", via=via, without=without).stdout
        )["members"]
        return [{"name": "", "isLearner": False, "clientURLs": []} | one for one in listed]

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Name -> Status of every member that answers."""
        found: dict[str, dict[str, Any]] = {}
        for name, member in self.members.items():
            if member.process is None:
                continue
            result = self.ctl("endpoint", "status", "-w", "json", "--command-timeout=2s", via=name, check=False)
            if result.returncode == 0:
                found[name] = json.loads(result.stdout)[0]["Status"]
        return found

    def leader(self, among: set[str] | None = None) -> str | None:
        """The name of the member that all who answer call leader; None while they do not agree."""
        leaders = {
            status.get("leader", 0) for name, status in self.statuses().items() if among is None or name in among
        }
        if len(leaders) != 1:
            return None
        leader = leaders.pop()
        return next((name for name, member in self.members.items() if member.id == leader), None)

    def wait_for_leader(self, among: set[str] | None = None) -> str:
        found: str = eventually(lambda: self.leader(among), "a leader that all agree on")
        return found

    def move_leader(self, name: str) -> None:
        """Has this member lead."""

        def tried() -> bool:
            leader = self.wait_for_leader()
            if leader == name:
                return True
            self.ctl("move-leader", f"{self.members[name].id:x}", via=leader, check=False)
            return self.leader() == name

        eventually(tried, f"{name} leads")

    def hashes(self) -> dict[str, tuple[int, int]]:
        """Name -> (revision, HashKV at it), of every member that runs."""
        found = {}
        for name, member in self.members.items():
            if member.process is not None and not member.is_learner:
                [answer] = json.loads(self.ctl("endpoint", "hashkv", "-w", "json", via=name).stdout)
                fields = answer["HashKV"]
                found[name] = (fields["header"]["revision"], fields.get("hash", 0))
        return found

    def wait_until_equal(self) -> tuple[int, int]:
        """Returns the (revision, hash) that all members that run have come to."""

        def equal() -> tuple[int, int] | None:
            hashes = set(self.hashes().values())
            return hashes.pop() if len(hashes) == 1 else None

        try:
            found: tuple[int, int] = eventually(equal, "equal hashes")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.hashes()}") from None
        return found
