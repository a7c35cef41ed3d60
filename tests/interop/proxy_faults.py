"""Does: a proxy in front of a cluster to which everything happens, while clients write and watch through it.

    python -m tests.interop.proxy_faults [--program etcd|dualmode] [--rounds 3]

Members are killed, frozen, cut off, all of them killed and started again, and replaced by members with other addresses.
Every write is of a key of its own, sent once by its client. Afterwards:

- no key has a version other than 1: no write was applied twice;
- every acknowledged key is there;
- a watch that its client resumes where it broke off has brought every event once, in the order of revisions;
- errors were of the codes that clients of etcd expect while a cluster is in trouble.
"""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import grpc

from dualmode.api import etcdserverpb as pb
from dualmode.proxy.policies import POLICIES
from tests.interop.clusters.cluster import Cluster, eventually
from tests.interop.grpc_client import Client, stream_call
from tests.interop.servers import Server, start_proxy

EXPECTED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}
#: What etcd answers, through a proxy or not, from a member that was removed and is about to end. A proxy hands it on:
#: the write may have been done, so it must not be tried elsewhere.
OF_A_REMOVED_ETCD = (grpc.StatusCode.UNKNOWN, "raft: stopped")
PREFIX, END = b"faults/", b"faults0"


class Writer(threading.Thread):
    """Puts numbered keys, each once."""

    def __init__(self, target: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._target, self._number, self._stopping = target, number, stop
        self.acknowledged: set[bytes] = set()
        self.sent = 0
        self.errors: Counter[Any] = Counter()

    def run(self) -> None:
        client = Client(self._target)
        while not self._stopping.is_set():
            key = PREFIX + b"%d/%06d" % (self._number, self.sent)
            self.sent += 1
            try:
                client.call("Put", pb.PutRequest(key=key, value=b"v"), 3.0)
            except grpc.RpcError as error:
                self.errors[error.code(), error.details()] += 1  # type: ignore[attr-defined]
                time.sleep(0.02)  # a client that is refused does not spin
            else:
                self.acknowledged.add(key)
        client.close()


class Watcher(threading.Thread):
    """Watches everything, and resumes behind the last revision it has heard of whenever its stream breaks."""

    def __init__(self, target: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._target, self._stopping = target, stop
        self.events: list[tuple[int, bytes]] = []
        self.next_revision = 1
        self.resumed = 0

    def run(self) -> None:
        client = Client(self._target)
        while not self._stopping.is_set():
            try:
                self._watch(client)
            except grpc.RpcError:
                self.resumed += 1
                time.sleep(0.02)  # as above
        client.close()

    def _watch(self, client: Client) -> None:
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        create = pb.WatchCreateRequest(key=PREFIX, range_end=END, start_revision=self.next_revision)
        requests.put(pb.WatchRequest(create_request=create))
        call = stream_call(client.channel, "/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse")
        answers = call(iter(requests.get, None), timeout=2.0)  # short, so that it is resumed often without faults too
        try:
            for answer in answers:
                self.events += [(event.kv.mod_revision, bytes(event.kv.key)) for event in answer.events]
                if answer.events:
                    self.next_revision = answer.events[-1].kv.mod_revision + 1
                if self._stopping.is_set():
                    return
        finally:
            requests.put(None)
            answers.cancel()


def faults(cluster: Cluster, program: str, number: int) -> None:
    """One round of everything."""
    names = list(cluster.members)
    cluster.wait_for_leader()
    cluster.kill(names[0])
    cluster.wait_for_leader()
    cluster.restart(names[0])
    for how in (cluster.paused, cluster.cut_off):
        leader = cluster.wait_for_leader()
        with how(leader):
            eventually(lambda leader=leader: cluster.leader(set(names) - {leader}) not in (None, leader), "a leader")
            time.sleep(1.0)  # the fault has to last; nothing is waited for
    for name in names:
        cluster.kill(name)
    for name in names:
        cluster.launch(cluster.members[name])
    for name in names:
        cluster.members[name].running.wait_ready()
    cluster.wait_for_leader()
    cluster.add(f"new{number}", program)
    cluster.remove(names[0])
    cluster.wait_for_leader()


def check(cluster: Cluster, program: str, writers: list[Writer], watchers: list[Watcher]) -> dict[str, int]:
    """Raises AssertionError with the first broken promise; gives what was counted."""
    client = Client(next(iter(cluster.members.values())).target)
    found = {bytes(kv.key): kv for kv in client.Range(key=PREFIX, range_end=END).kvs}
    client.close()
    twice = [key for key, kv in found.items() if kv.version != 1]
    assert not twice, f"{len(twice)} writes were applied twice: {twice[:3]}"
    acknowledged = set[bytes]().union(*(writer.acknowledged for writer in writers))
    assert acknowledged <= set(found), f"{len(acknowledged - set(found))} acknowledged writes are lost"
    history = sorted((kv.mod_revision, key) for key, kv in found.items())
    for watcher in watchers:
        assert watcher.events == history, _first_difference(watcher.events, history)
    errors = sum((writer.errors for writer in writers), Counter[Any]())
    allowed = {OF_A_REMOVED_ETCD} if program == "etcd" else set()
    assert all(error[0] in EXPECTED or error in allowed for error in errors), errors
    return {
        "sent": sum(writer.sent for writer in writers),
        "acknowledged": len(acknowledged),
        "applied": len(found),
        "errors": sum(errors.values()),
        "events": sum(len(watcher.events) for watcher in watchers),
        "watches resumed": sum(watcher.resumed for watcher in watchers),
    }


def _first_difference(heard: list[tuple[int, bytes]], history: list[tuple[int, bytes]]) -> str:
    for number, (one, other) in enumerate(zip(heard, history, strict=False)):
        if one != other:
            return f"event {number}: heard {one}, the history has {other}"
    return f"{len(heard)} events heard, {len(history)} in the history"


def run(directory: Path, program: str, rounds: int, policy: str = "stay") -> dict[str, int]:
    """All of it."""
    with Cluster(directory, ("--heartbeat-interval=50", "--election-timeout=500")) as cluster:
        cluster.start_new({f"m{number}": program for number in range(3)})
        cluster.wait_for_leader()
        with _proxy(directory, cluster, policy) as proxy:
            stop = threading.Event()
            writers = [Writer(proxy.target, number, stop) for number in range(4)]
            stop_watching = threading.Event()
            watchers = [Watcher(proxy.target, stop_watching) for _ in range(3)]
            for thread in (*watchers, *writers):
                thread.start()
            for number in range(rounds):
                faults(cluster, program, number)
            eventually(lambda: _are_acknowledged(writers), "writes after the last fault")
            stop.set()
            for writer in writers:
                writer.join()
            newest = cluster.wait_until_equal()[0]
            eventually(lambda: all(one.next_revision > newest - 1 for one in watchers), "everything is heard of", 20.0)
            stop_watching.set()
            for watcher in watchers:
                watcher.join()
        return check(cluster, program, writers, watchers)


def _proxy(directory: Path, cluster: Cluster, policy: str) -> Server:
    endpoints = ",".join(f"http://{member.target}" for member in cluster.members.values())
    flags = ("--endpoints-auto-sync-interval=500ms", f"--endpoint-policy={policy}")
    return start_proxy(directory, endpoints, flags=flags)


def _are_acknowledged(writers: list[Writer]) -> bool:
    before = [len(writer.acknowledged) for writer in writers]
    time.sleep(0.2)  # how long it is looked at
    return all(len(writer.acknowledged) > count for writer, count in zip(writers, before, strict=True))


@click.command()
@click.option("--program", default="etcd", type=click.Choice(["etcd", "dualmode"]))
@click.option("--rounds", default=3)
@click.option("--policy", default="stay", type=click.Choice(list(POLICIES)), help="Which member a call goes to.")
def main(program: str, rounds: int, policy: str) -> None:
    """Faults behind a proxy."""
    with tempfile.TemporaryDirectory() as folder:
        for name, count in run(Path(folder), program, rounds, policy).items():
            click.echo(f"{name}: {count}")


if __name__ == "__main__":
    main()
