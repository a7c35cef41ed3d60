"""Does: kills a server in the middle of work, starts it again and compares with what it had acknowledged.

`python -m tests.interop.crash --rounds 100`. Several connections write at once: pairs of keys in one transaction, a log
of keys that are never written twice, deletes, leases. After kill -9 and a restart:

- everything acknowledged is there, at the revision that was acknowledged;
- what was sent but not acknowledged is there whole or not at all (both keys of a pair are equal);
- no revision was given twice, and the store's revision never went back.

kill -9 leaves the page cache in place, so this proves the order of write and answer and the recovery, not the disk's
own promises; tests/storage cuts the log at every byte for those.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import grpc

from dualmode.api import etcdserverpb
from tests.interop.grpc_client import Client, connect, request_class
from tests.interop.servers import Server, start_dualmode, start_etcd

WRITERS: Final = 4
#: Load before the kill, drawn anew each round: early kills meet a server that is still recovering its caches.
LOAD_SECONDS: Final = (0.05, 0.6)
CALL_TIMEOUT_SECONDS: Final = 10.0
LEASE_TTL_SECONDS: Final = 100_000


@dataclass
class Ledger:
    """What one writer sent and what was acknowledged. Owned by its thread while it runs, read after it has ended."""

    name: str
    sent: int = 0  #: number of the last pair sent
    acknowledged: int = 0  #: number of the last pair acknowledged
    pair_revision: int = 0  #: and its revision
    log: dict[int, int] = field(default_factory=dict)  #: log key number -> revision; acknowledged and not deleted
    unsure_log: set[int] = field(default_factory=set)  #: sent, fate unknown (put or delete)
    leases: set[int] = field(default_factory=set)  #: granted and acknowledged
    revisions: list[int] = field(default_factory=list)  #: of every acknowledged write, in order

    def key(self, part: str) -> bytes:
        return f"{self.name}/{part}".encode()

    def log_key(self, number: int) -> bytes:
        return self.key(f"log/{number:08d}")


class Writer(threading.Thread):
    """One connection that writes until the server goes away."""

    def __init__(self, server: Server, ledger: Ledger, seed: int) -> None:
        super().__init__(daemon=True)
        self._client = connect(server)
        self._ledger = ledger
        self._random = random.Random(seed)
        self._next_log = max((*ledger.log, *ledger.unsure_log, 0)) + 1

    def run(self) -> None:
        try:
            while True:
                self._random.choices(
                    (self._put_pair, self._put_log, self._delete_log, self._grant_lease), (60, 30, 8, 2)
                )[0]()
        except grpc.RpcError:
            pass  # killed: what this call did is what the ledger calls unsure
        finally:
            self._client.close()

    def _call(self, method: str, **fields: Any) -> Any:
        return self._client.call(method, request_class(method)(**fields), CALL_TIMEOUT_SECONDS)

    def _put_pair(self) -> None:
        """Both keys in one transaction."""
        ledger = self._ledger
        ledger.sent += 1
        value = str(ledger.sent).encode()
        puts = [
            etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=ledger.key(part), value=value))
            for part in ("left", "right")
        ]
        response = self._call("Txn", success=puts)
        ledger.acknowledged, ledger.pair_revision = ledger.sent, response.header.revision
        ledger.revisions.append(response.header.revision)

    def _put_log(self) -> None:
        number, ledger = self._next_log, self._ledger
        self._next_log += 1
        ledger.unsure_log.add(number)
        response = self._call("Put", key=ledger.log_key(number), value=b"x" * self._random.choice((1, 100, 4000)))
        ledger.log[number] = response.header.revision
        ledger.unsure_log.discard(number)
        ledger.revisions.append(response.header.revision)

    def _delete_log(self) -> None:
        ledger = self._ledger
        if not ledger.log:
            return
        number = self._random.choice(list(ledger.log))
        del ledger.log[number]
        ledger.unsure_log.add(number)
        response = self._call("DeleteRange", key=ledger.log_key(number))
        ledger.unsure_log.discard(number)
        ledger.revisions.append(response.header.revision)

    def _grant_lease(self) -> None:
        response = self._call("LeaseGrant", TTL=LEASE_TTL_SECONDS)
        self._ledger.leases.add(response.ID)


def check(client: Client, ledgers: list[Ledger], oldest_revision: int) -> int:
    """Raises AssertionError with the first broken promise; returns the store's revision."""
    revision = client.Range(key=b"x").header.revision
    given = [number for ledger in ledgers for number in ledger.revisions]
    assert len(given) == len(set(given)), "a revision was given to two writes"
    newest = max(given, default=oldest_revision)
    assert revision >= newest >= oldest_revision, f"revision {revision} after {newest} was acknowledged"
    leases = {lease.ID for lease in client.LeaseLeases().leases}
    for ledger in ledgers:
        assert ledger.revisions == sorted(ledger.revisions), f"{ledger.name}: revisions went back"
        check_pair(client, ledger)
        check_log(client, ledger)
        assert ledger.leases <= leases, f"{ledger.name}: leases lost: {sorted(ledger.leases - leases)}"
    return revision


def check_pair(client: Client, ledger: Ledger) -> None:
    found = {part: list(client.Range(key=ledger.key(part)).kvs) for part in ("left", "right")}
    if not ledger.acknowledged and not any(found.values()):
        return
    left, right = (kvs[0] if kvs else None for kvs in found.values())
    assert left is not None, f"{ledger.name}: the left key of the pair is lost"
    assert right is not None, f"{ledger.name}: the right key of the pair is lost"
    same = (left.value, left.mod_revision) == (right.value, right.mod_revision)
    assert same, f"{ledger.name}: half a transaction: {left.value!r} and {right.value!r}"
    number = int(left.value)
    assert ledger.acknowledged <= number <= ledger.sent, (
        f"{ledger.name}: holds {number}, acknowledged {ledger.acknowledged}, sent {ledger.sent}"
    )
    if number == ledger.acknowledged:
        assert left.mod_revision == ledger.pair_revision, f"{ledger.name}: {number} is at another revision"
    ledger.acknowledged, ledger.pair_revision = number, left.mod_revision


def check_log(client: Client, ledger: Ledger) -> None:
    kvs = client.Range(key=ledger.key("log/"), range_end=ledger.key("log0")).kvs
    found = {int(kv.key.rpartition(b"/")[2]): kv.mod_revision for kv in kvs}
    lost = ledger.log.keys() - found.keys()
    assert not lost, f"{ledger.name}: {len(lost)} acknowledged puts are lost: {sorted(lost)[:10]}"
    risen = found.keys() - ledger.log.keys() - ledger.unsure_log
    assert not risen, f"{ledger.name}: deleted keys are back: {sorted(risen)[:10]}"
    moved = [number for number, revision in ledger.log.items() if found[number] != revision]
    assert not moved, f"{ledger.name}: at another revision than acknowledged: {moved[:10]}"
    for number in ledger.unsure_log & found.keys():
        ledger.log[number] = found[number]  # now known: it is there
    ledger.unsure_log.clear()


def crash_rounds(server: Server, rounds: int, seed: int, say: Any = lambda text: None) -> int:
    """Loads, kills, restarts and checks `rounds` times. Returns how many writes were acknowledged."""
    draw = random.Random(seed)
    ledgers = [Ledger(f"writer{number}") for number in range(WRITERS)]
    revision = 1
    for number in range(1, rounds + 1):
        writers = [Writer(server, ledger, draw.getrandbits(32)) for ledger in ledgers]
        for writer in writers:
            writer.start()
        time.sleep(draw.uniform(*LOAD_SECONDS))  # how long the load lasts is the point, nothing is waited for
        server.kill()
        for writer in writers:
            writer.join(CALL_TIMEOUT_SECONDS + 5)
            assert not writer.is_alive(), "a call hangs although the server is dead"
        started = time.monotonic()
        server.revive()
        with connect(server) as client:
            revision = check(client, ledgers, revision)
        written = sum(len(ledger.revisions) for ledger in ledgers)
        say(f"round {number}: revision {revision}, {written} writes kept, back in {time.monotonic() - started:.2f} s")
    return sum(len(ledger.revisions) for ledger in ledgers)


@click.command()
@click.option("--rounds", default=100, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--server", "kind", type=click.Choice(["dualmode", "etcd"]), default="dualmode", show_default=True)
def main(rounds: int, seed: int, kind: str) -> None:
    """kill -9 under load, again and again; ends with 1 at the first promise that was not kept."""
    start = start_dualmode if kind == "dualmode" else start_etcd
    with tempfile.TemporaryDirectory(prefix="crash-") as directory, start(Path(directory)) as server:
        try:
            writes = crash_rounds(server, rounds, seed, say=print)
        except AssertionError as broken:
            print(f"BROKEN: {broken}\n{server.process.describe()}")
            sys.exit(1)
    print(f"{rounds} crashes, {writes} acknowledged writes, nothing lost and nothing half-applied")


if __name__ == "__main__":
    main()
