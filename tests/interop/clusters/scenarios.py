"""Does: what a cluster has to stand, as functions: each makes its cluster, works on it and asserts.

`scale` multiplies the operations: the suite runs them small, `python -m tests.interop.clusters` at their full size.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from dualmode.api import etcdserverpb as pb
from tests.interop.clusters.cluster import Cluster, eventually
from tests.interop.clusters.workload import Workload
from tests.interop.grpc_client import Client, stream_call

#: Snapshots are taken often, so that members that were away need one.
SNAPSHOTS_OFTEN = ("--snapshot-count=50",)
OURS_OFTEN = ("--snapshot-count=50", "--snapshot-catchup-entries=5")

#: Which version a cluster must keep so that these may join.
VERSIONS = {"etcd": "3.5", "etcd-3.4": "3.4"}

Tell = Callable[[str], None]


def targets(cluster: Cluster) -> list[str]:
    """Of all members that run."""
    return [member.target for member in cluster.members.values() if member.process is not None]


def check_all(cluster: Cluster, work: Workload) -> tuple[int, int]:
    """Everything acknowledged is on every member, and all have the same hash."""
    found = cluster.wait_until_equal()
    for target in targets(cluster):
        client = Client(target)
        work.check(client)
        client.close()
    return found


def three_members(directory: Path, scale: float, tell: Tell) -> None:
    """Ours alone: etcdctl against all, members added, promoted, removed."""
    with Cluster(directory) as cluster:
        cluster.start_new({"m1": "dualmode", "m2": "dualmode", "m3": "dualmode"})
        tell(f"leader {cluster.wait_for_leader()}")
        for number, name in enumerate(cluster.members):
            cluster.ctl("put", f"by-{name}", str(number), via=name)
            for other in cluster.members:
                assert cluster.ctl("get", f"by-{name}", "--print-value-only", via=other).stdout.strip() == str(number)
        work = Workload(1, targets(cluster))
        work.run(int(300 * scale))
        cluster.add("m4", "dualmode", learner=True)
        refused = cluster.ctl("get", "by-m1", via="m4", check=False)
        assert "rpc not supported for learner" in refused.stderr
        serializable = cluster.ctl("get", "by-m1", "--consistency=s", "--print-value-only", via="m4")
        assert serializable.stdout.strip() == "0"
        cluster.promote("m4")
        work.use(targets(cluster))
        work.run(int(100 * scale))
        tell(f"four members: {check_all(cluster, work)}")
        leader = cluster.wait_for_leader()
        cluster.remove(leader)
        cluster.wait_for_leader()
        work.use(targets(cluster))
        work.run(int(100 * scale))
        tell(f"the leader {leader} removed: {check_all(cluster, work)}")
        work.close()


class Writers:
    """Threads that put numbered keys and note what was acknowledged, until told to stop."""

    def __init__(self, cluster: Cluster, count: int = 4) -> None:
        self._targets = targets(cluster)
        self.acknowledged: dict[bytes, bytes] = {}
        self.moments: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        clients = [Client(target) for target in self._targets]
        turn = number = 0
        while not self._stop.is_set():
            key = b"writer/%d/%d" % (writer, number)
            number += 1
            try:
                clients[turn % len(clients)].call("Put", pb.PutRequest(key=key, value=key), 2.0)
            except grpc.RpcError:
                turn += 1
            else:
                self.acknowledged[key] = key
                self.moments.append(time.monotonic())
        for client in clients:
            client.close()

    def wait_for(self, more: int) -> None:
        """Returns when so many more have been acknowledged."""
        wanted = len(self.acknowledged) + more
        eventually(lambda: len(self.acknowledged) >= wanted, "writes are acknowledged")

    def longest_gap(self) -> float:
        """Seconds without an acknowledged write, at most."""
        moments = sorted(self.moments)
        return max((later - earlier for earlier, later in itertools.pairwise(moments)), default=0.0)

    def check(self, cluster: Cluster) -> None:
        """All of it is there, on every member."""
        for target in targets(cluster):
            client = Client(target)
            found = {kv.key for kv in client.Range(key=b"writer/", range_end=b"writer0", keys_only=True).kvs}
            client.close()
            lost = set(self.acknowledged) - found
            assert not lost, f"{len(lost)} acknowledged writes are lost on {target}: {sorted(lost)[:3]}"


def _wait_for_another(cluster: Cluster, leader: str) -> None:
    """Returns when all others call one of them leader."""
    others = {name for name in cluster.members if name != leader}
    eventually(lambda: cluster.leader(others) not in (None, leader), "another leader")


def leader_killed(directory: Path, scale: float, tell: Tell) -> None:
    """kill -9 of the leader under load: nothing acknowledged is lost, and a new one leads soon."""
    with Cluster(directory) as cluster:
        cluster.start_new({"m1": "dualmode", "m2": "dualmode", "m3": "dualmode"})
        for _ in range(max(1, int(3 * scale))):
            leader = cluster.wait_for_leader()
            with Writers(cluster) as writers:
                eventually(lambda writers=writers: len(writers.acknowledged) > 100, "some writes")
                killed_at = time.monotonic()
                cluster.kill(leader)
                others = {name for name in cluster.members if name != leader}
                eventually(
                    lambda others=others, leader=leader: cluster.leader(others) not in (None, leader), "a leader"
                )
                took = time.monotonic() - killed_at
                before = len(writers.acknowledged)
                eventually(
                    lambda writers=writers, before=before: len(writers.acknowledged) > before + 50, "writes go on"
                )
            cluster.restart(leader)
            cluster.wait_until_equal()
            writers.check(cluster)
            tell(
                f"killed {leader}: new leader seen after {took:.2f} s, no acknowledged write for "
                f"{writers.longest_gap():.2f} s, {len(writers.acknowledged)} acknowledged and there"
            )


def paused_and_cut_off(directory: Path, scale: float, tell: Tell) -> None:
    """The leader frozen, then cut off: the others go on, and it comes back to them."""
    with Cluster(directory) as cluster:
        cluster.start_new({"m1": "dualmode", "m2": "dualmode", "m3": "dualmode"})
        for how in (cluster.paused, cluster.cut_off):
            leader = cluster.wait_for_leader()
            with Writers(cluster) as writers:
                writers.wait_for(50)
                with how(leader):
                    _wait_for_another(cluster, leader)
                    writers.wait_for(50)
            cluster.wait_for_leader()
            cluster.wait_until_equal()
            writers.check(cluster)
            tell(
                f"{how.__name__}: {len(writers.acknowledged)} acknowledged and there, none for "
                f"{writers.longest_gap():.2f} s"
            )


def mixed(directory: Path, scale: float, tell: Tell, theirs: str = "etcd") -> None:
    """Ours among two of theirs, then theirs between two of ours: as learner, as voter, as leader; restarted; caught up
    by log and by snapshot, both ways."""
    with Cluster(directory) as cluster:
        cluster.start_new({"e1": theirs, "e2": theirs}, SNAPSHOTS_OFTEN)
        work = Workload(2, targets(cluster))
        work.run(int(200 * scale))
        _restart_all(cluster, ("e1", "e2"))  # their logs in memory begin at a snapshot now
        cluster.add("d1", "dualmode", learner=True, flags=OURS_OFTEN)
        cluster.promote("d1")
        tell(f"one of ours has joined by snapshot: {check_all(cluster, work)}")
        _with_users(cluster)
        for name in ("d1", "e1"):
            _away(cluster, work, name, scale, tell)
        cluster.move_leader("d1")
        work.use(targets(cluster))
        work.run(int(300 * scale))
        tell(f"ours leads: {check_all(cluster, work)}")
        _away(cluster, work, "e2", scale, tell)
        cluster.add("d2", "dualmode", flags=OURS_OFTEN)
        cluster.remove("e1")
        cluster.wait_for_leader()
        work.use(targets(cluster))
        work.run(int(300 * scale))
        tell(f"two of ours, one of theirs: {check_all(cluster, work)}")
        cluster.move_leader("e2")
        for name in ("d1", "d2"):
            _away(cluster, work, name, scale, tell)
        tell(f"{work.done} operations, {work.failed} unsure")
        work.close()


def _restart_all(cluster: Cluster, names: tuple[str, ...]) -> None:
    for name in names:
        cluster.stop(name)
        cluster.restart(name)
        cluster.wait_for_leader()


def _away(cluster: Cluster, work: Workload, name: str, scale: float, tell: Tell) -> None:
    """A member is stopped, misses more than the log keeps, and catches up."""
    cluster.stop(name)
    cluster.wait_for_leader()
    work.use(targets(cluster))
    work.run(int(200 * scale))
    cluster.restart(name)
    cluster.wait_for_leader()
    work.use(targets(cluster))
    work.run(int(50 * scale))
    tell(f"{name} was away: {check_all(cluster, work)}")


def _with_users(cluster: Cluster) -> None:
    """Users and roles are the same everywhere, and what one may do; authentication is off again afterwards."""
    for arguments in (
        ("user", "add", "root:pw"),
        ("role", "add", "root"),
        ("user", "grant-role", "root", "root"),
        ("role", "add", "reader"),
        ("role", "grant-permission", "reader", "read", "open/", "open0"),
        ("user", "add", "alice:pw"),
        ("user", "grant-role", "alice", "reader"),
        ("auth", "enable"),
    ):
        cluster.ctl(*arguments)
    for name in cluster.members:
        cluster.ctl("--user=root:pw", "put", "open/x", name, via=name)
        assert cluster.ctl("--user=alice:pw", "get", "open/x", "--print-value-only", via=name).stdout.strip() == name
        denied = cluster.ctl("--user=alice:pw", "put", "open/x", "no", via=name, check=False)
        assert "permission denied" in denied.stderr
        missing = cluster.ctl("get", "open/x", via=name, check=False)
        assert "user name is empty" in missing.stderr
    cluster.ctl("--user=root:pw", "auth", "disable")


def rolling(directory: Path, scale: float, tell: Tell, theirs: str = "etcd") -> None:
    """All members of a cluster replaced by ours, one after the other, and back, while clients write."""
    with Cluster(directory) as cluster:
        cluster.start_new({f"e{number}": theirs for number in range(3)}, SNAPSHOTS_OFTEN)
        work = Workload(3, targets(cluster))
        work.run(int(200 * scale))
        for old, new, program in (("e", "d", "dualmode"), ("d", "f", theirs)):
            for number in range(3):
                flags = (
                    (*OURS_OFTEN, f"--highest-cluster-version={VERSIONS[theirs]}")
                    if program == "dualmode"
                    else SNAPSHOTS_OFTEN
                )
                cluster.add(f"{new}{number}", program, flags=flags)
                work.use(targets(cluster))
                work.run(int(100 * scale))
                cluster.remove(f"{old}{number}")
                cluster.wait_for_leader()
                work.use(targets(cluster))
                work.run(int(100 * scale))
            tell(f"all replaced by {program}: {check_all(cluster, work)}")
        tell(f"{work.done} operations, {work.failed} unsure")
        work.close()


def leases_across_members(directory: Path, scale: float, tell: Tell, theirs: str = "etcd") -> None:
    """Leases granted, kept alive, asked about and revoked through every member, whoever leads."""
    with Cluster(directory) as cluster:
        cluster.start_new({"d1": "dualmode", "d2": "dualmode", "e1": theirs})
        for leader in ("e1", "d1"):
            cluster.move_leader(leader)
            for name, member in cluster.members.items():
                client = Client(member.target)
                lease = client.LeaseGrant(TTL=60)
                client.Put(key=f"leased-{name}".encode(), value=b"v", lease=lease.ID)
                for other in cluster.members.values():
                    _ask_about(other.target, lease.ID, f"leased-{name}".encode())
                client.LeaseRevoke(ID=lease.ID)
                assert not client.Range(key=f"leased-{name}".encode()).kvs
                client.close()
            tell(f"with {leader} leading: {cluster.wait_until_equal()}")


def _ask_about(target: str, lease_id: int, key: bytes) -> None:
    client = Client(target)
    answer = client.LeaseTimeToLive(ID=lease_id, keys=True)
    assert 50 <= answer.TTL <= 60, answer
    assert list(answer.keys) == [key]
    renewed = keep_alive(client, lease_id)
    assert renewed.TTL == 60, renewed
    client.close()


def keep_alive(client: Client, lease_id: int) -> Any:
    """One renewal."""
    call = stream_call(
        client.channel, "/etcdserverpb.Lease/LeaseKeepAlive", "LeaseKeepAliveRequest", "LeaseKeepAliveResponse"
    )
    answers = call(iter([pb.LeaseKeepAliveRequest(ID=lease_id)]), timeout=10)
    return next(answers)


def autopilot(directory: Path, scale: float, tell: Tell) -> None:
    """A learner becomes a voter by itself; a member that stays dead is removed by itself."""
    flags = ("--autopilot-promote-after=1s", "--autopilot-remove-after=2s")
    with Cluster(directory, flags) as cluster:
        cluster.start_new({"m1": "dualmode", "m2": "dualmode", "m3": "dualmode"})
        cluster.add("m4", "dualmode", learner=True)

        def voters(without: str = "") -> int:
            listed = cluster.list(without=without)
            return sum(not one["isLearner"] for one in listed)

        eventually(lambda: voters() == 4, "the learner is promoted")
        cluster.learn_ids()
        lost = next(name for name in cluster.members if name != cluster.wait_for_leader())
        cluster.kill(lost)
        eventually(lambda: voters() == 3, "the dead member is removed")
        tell(f"promoted m4, removed {lost}: {cluster.wait_until_equal()}")


SCENARIOS: dict[str, Callable[..., None]] = {
    "three-members": three_members,
    "leader-killed": leader_killed,
    "paused-and-cut-off": paused_and_cut_off,
    "leases": leases_across_members,
    "autopilot": autopilot,
    "mixed": mixed,
    "rolling": rolling,
}
