"""Does: mixed operations against a cluster: puts, deletions, transactions, leases, users; each through any member.

Seeded, and counted: what was acknowledged, so that it can be looked for afterwards. Errors that a cluster may answer
with while its leader changes are passed over; whether such a write happened is then not known.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import grpc

from dualmode.api import etcdserverpb as pb
from tests.interop.grpc_client import Client

#: Codes of calls that may come through or not.
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN)


class Workload:
    """Operations through `targets`, one at a time. `acknowledged` is key -> value of the newest put, None: deleted."""

    def __init__(self, seed: int, targets: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._clients = [Client(target) for target in targets]
        self.acknowledged: dict[bytes, bytes | None] = {}
        self.unsure: set[bytes] = set()
        self.leases: list[int] = []
        self.done = self.failed = 0
        self._number = 0
        self._compacted = 0

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def use(self, targets: Sequence[str]) -> None:
        """Other members from now on."""
        self.close()
        self._clients = [Client(target) for target in targets]

    def run(self, count: int) -> None:
        """That many operations."""
        kinds = (self._put, self._delete, self._txn, self._lease, self._leased_put, self._read, self._compact)
        for _ in range(count):
            operation = self._random.choices(kinds, (50, 8, 15, 4, 8, 14, 0.3))[0]
            try:
                operation(self._random.choice(self._clients))
                self.done += 1
            except grpc.RpcError as error:
                if error.code() not in _PASSING:  # type: ignore[attr-defined]
                    raise
                self.failed += 1

    def _key(self) -> bytes:
        return b"key/%d" % self._random.randrange(300)

    def _value(self) -> bytes:
        self._number += 1
        return b"%d/" % self._number + b"x" * self._random.choice((0, 10, 300, 3000))

    def _put(self, client: Client, lease: int = 0) -> None:
        key, value = self._key(), self._value()
        self.unsure.add(key)
        client.Put(key=key, value=value, lease=lease)
        self.unsure.discard(key)
        self.acknowledged[key] = value

    def _delete(self, client: Client) -> None:
        key = self._key()
        self.unsure.add(key)
        client.DeleteRange(key=key)
        self.unsure.discard(key)
        self.acknowledged[key] = None

    def _txn(self, client: Client) -> None:
        keys, value = {self._key(), self._key()}, self._value()
        puts = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=value)) for key in sorted(keys)]
        compare = pb.Compare(
            key=self._key(),
            target=pb.Compare.VERSION,
            result=self._random.choice((pb.Compare.GREATER, pb.Compare.EQUAL)),
            version=self._random.randrange(4),
        )
        self.unsure |= keys
        answer = client.Txn(compare=[compare], success=puts)
        self.unsure -= keys
        if answer.succeeded:
            self.acknowledged |= dict.fromkeys(keys, value)

    def _lease(self, client: Client) -> None:
        if self.leases and self._random.random() < 0.4:
            lease = self.leases.pop(self._random.randrange(len(self.leases)))
            # What hangs on it goes with it, and that is not kept account of here.
            self.unsure |= set(self.acknowledged)
            client.LeaseRevoke(ID=lease)
            self.unsure -= set(self.acknowledged)
            self._look_again(client)
        else:
            self.leases.append(client.LeaseGrant(TTL=10_000 + self._random.randrange(1000)).ID)

    def _look_again(self, client: Client) -> None:
        found = {kv.key: kv.value for kv in client.Range(key=b"key/", range_end=b"key0").kvs}
        self.acknowledged = {key: found.get(key) for key in self.acknowledged}

    def _leased_put(self, client: Client) -> None:
        self._put(client, self._random.choice(self.leases) if self.leases else 0)

    def _read(self, client: Client) -> None:
        key = self._key()
        answer = client.Range(key=key)
        if key in self.acknowledged and key not in self.unsure:
            found = answer.kvs[0].value if answer.kvs else None
            assert found == self.acknowledged[key], f"a read went back in time: {key!r}"

    def _compact(self, client: Client) -> None:
        revision = client.Range(key=b"x").header.revision
        revision -= self._random.randrange(1, 100)
        if revision > self._compacted:
            self._compacted = revision
            client.Compact(revision=revision)

    def check(self, client: Client) -> None:
        """Everything acknowledged is there. Raises AssertionError with the first that is not."""
        found: dict[bytes, Any] = {kv.key: kv.value for kv in client.Range(key=b"key/", range_end=b"key0").kvs}
        for key, value in self.acknowledged.items():
            if key not in self.unsure:
                assert found.get(key) == value, f"{key!r}: {value!r} was acknowledged, {found.get(key)!r} is there"
