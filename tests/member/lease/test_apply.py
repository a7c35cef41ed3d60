"""Granting, revoking and checkpointing on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.headers import ResponseHeaders
from dualmode.member.lease.apply import apply_checkpoint, apply_grant, apply_revoke
from dualmode.member.lease.lessor import Lessor
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.changes import Commit
from dualmode.storage.mvcc.store import Store


class Scene:
    """A store, a lessor, and passes of one request each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.open()

    def open(self) -> None:
        self.store = Store(Backend.open(self.directory))
        self.lessor = Lessor(2)
        self.lessor.load(self.store.leases.all())

    def close(self) -> None:
        self.store.backend.close()

    def header_field(self) -> bytes:
        return ResponseHeaders(1, 2).field(self.store.revision)

    def apply(self, request: Any) -> tuple[Any, list[Commit]]:
        """The answer, or the error, and what changed."""
        outcome: Any
        self.store.begin_pass()
        try:
            if isinstance(request, pb.LeaseGrantRequest):
                answer = apply_grant(self.lessor, self.store.leases, request, 0.0, self.header_field)
                outcome = pb.LeaseGrantResponse.FromString(answer)
            elif isinstance(request, pb.LeaseRevokeRequest):
                answer = apply_revoke(self.store, self.lessor, self.store.leases, request, self.header_field)
                outcome = pb.LeaseRevokeResponse.FromString(answer)
            else:
                answer = apply_checkpoint(self.lessor, self.store.leases, request, 0.0, self.header_field)
                outcome = pb.LeaseCheckpointResponse.FromString(answer)
        except RpcError as error:
            outcome = error
        return outcome, self.store.end_pass(self.store.applied_index + 1, 1)

    def put(self, key: bytes, lease_id: int) -> None:
        self.store.begin_pass()
        self.store.put(key, b"v", lease_id)
        self.store.end_pass(self.store.applied_index + 1, 1)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path / "store")
    yield one
    one.close()


def test_a_granted_lease_survives_a_restart(scene: Scene) -> None:
    answer, commits = scene.apply(pb.LeaseGrantRequest(ID=5, TTL=1))
    assert (answer.ID, answer.TTL, answer.header.revision, commits) == (5, 2, 1, [])
    scene.apply(pb.LeaseGrantRequest(ID=-6, TTL=100))
    scene.apply(pb.LeaseCheckpointRequest(checkpoints=[pb.LeaseCheckpoint(ID=-6, remaining_TTL=40)]))
    scene.close()
    scene.open()
    found = [(lease.lease_id, lease.ttl_seconds, lease.remaining_seconds) for lease in scene.lessor.by_expiry()]
    assert sorted(found) == [(-6, 100, 40), (5, 2, 0)]


def test_refused_grants_write_nothing(scene: Scene) -> None:
    scene.apply(pb.LeaseGrantRequest(ID=5, TTL=60))
    assert scene.apply(pb.LeaseGrantRequest(ID=5, TTL=90)) == (errors.LEASE_EXISTS, [])
    assert scene.apply(pb.LeaseGrantRequest(ID=6, TTL=9_000_000_001)) == (errors.LEASE_TTL_TOO_LARGE, [])
    assert [(row.lease_id, row.ttl_seconds) for row in scene.store.leases.all()] == [(5, 60)]


def test_revoking_deletes_the_keys_in_order_at_one_revision(scene: Scene) -> None:
    scene.apply(pb.LeaseGrantRequest(ID=5, TTL=60))
    scene.apply(pb.LeaseGrantRequest(ID=6, TTL=60))
    for key, lease_id in ((b"c", 5), (b"a", 5), (b"b", 6), (b"moved", 5), (b"freed", 5), (b"z\xff", 5)):
        scene.put(key, lease_id)
    scene.put(b"moved", 6)
    scene.put(b"freed", 0)
    answer, (commit,) = scene.apply(pb.LeaseRevokeRequest(ID=5))
    assert commit.revision == answer.header.revision == scene.store.revision == 10
    assert [(change.key, change.is_delete) for change in commit.changes] == [
        (b"a", True),
        (b"c", True),
        (b"z\xff", True),
    ]
    assert not scene.lessor.has(5)
    assert list(scene.store.leases.keys_of(5)) == []
    assert list(scene.store.leases.keys_of(6)) == [b"b", b"moved"]
    assert scene.store.get(b"freed") is not None
    scene.close()
    scene.open()
    assert [lease.lease_id for lease in scene.lessor.by_expiry()] == [6]


def test_revoking_a_lease_without_keys_is_no_revision(scene: Scene) -> None:
    scene.apply(pb.LeaseGrantRequest(ID=5, TTL=60))
    answer, commits = scene.apply(pb.LeaseRevokeRequest(ID=5))
    assert (answer.header.revision, commits) == (1, [])
    assert scene.apply(pb.LeaseRevokeRequest(ID=5)) == (errors.LEASE_NOT_FOUND, [])


def test_keys_attached_in_the_same_pass_are_deleted_too(scene: Scene) -> None:
    scene.apply(pb.LeaseGrantRequest(ID=5, TTL=60))
    store = scene.store
    store.begin_pass()
    store.put(b"a", b"v", 5)
    apply_revoke(store, scene.lessor, store.leases, pb.LeaseRevokeRequest(ID=5), scene.header_field)
    commits = store.end_pass(99, 1)
    assert [(one.revision, [change.is_delete for change in one.changes]) for one in commits] == [
        (2, [False]),
        (3, [True]),
    ]
    assert store.get(b"a") is None


def test_checkpoints_of_leases_that_are_gone_are_passed_over(scene: Scene) -> None:
    answer, commits = scene.apply(pb.LeaseCheckpointRequest(checkpoints=[pb.LeaseCheckpoint(ID=5, remaining_TTL=40)]))
    assert (answer.header.revision, commits) == (1, [])
    assert scene.store.leases.all() == []
