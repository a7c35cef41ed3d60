"""A data dir made from a snapshot: members start on it with what was in the file, and failure leaves nothing."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest

from dualmode import datadir
from dualmode.api import etcdserverpb as pb
from dualmode.config.option import Mode
from dualmode.errors import StartError, StorageError
from dualmode.member.apply import requests
from dualmode.member.cluster.membership import Membership
from dualmode.member.maintenance.snapshot_restore import RestorePlan, restore_snapshot
from dualmode.member.opening import Bootstrap, open_member
from dualmode.storage.backend import Backend
from dualmode.storage.bbolt.dump import dump
from dualmode.storage.bbolt.writer import Writer
from dualmode.storage.mvcc.store import Store
from tests.member.conftest import ask, running_member

PLAN = RestorePlan(
    Path("unset"), "default", {"default": ["http://localhost:2380"]}, "etcd-cluster", ["http://localhost:2380"]
)


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A file with one key on a lease, as `snapshot save` writes it."""
    backend = Backend.open(tmp_path / "source")
    store = Store(backend)
    store.begin_pass()
    store.leases.save(7, 1000)
    store.put(b"k", b"v", 7)
    store.put(b"k", b"w", 7)
    store.bucket_put(b"members", b"beef", b'{"id":48879}')
    store.bucket_put(b"members_removed", b"dead", b"removed")
    store.bucket_put(b"cluster", b"clusterVersion", b"3.5.0")
    store.end_pass(9, 4)
    file = io.BytesIO()
    dump(backend.view(), b'{"voters":[48879],"auto_leave":false}', Writer(file))
    backend.close()
    path = tmp_path / "snapshot.db"
    path.write_bytes(file.getvalue() + hashlib.sha256(file.getvalue()).digest())
    return path


def plan(tmp_path: Path, **changes: object) -> RestorePlan:
    return replace(PLAN, data_dir=tmp_path / "new", **changes)


async def test_a_member_starts_on_it(snapshot: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int | None]] = []
    loaded = restore_snapshot(snapshot, plan(tmp_path), lambda doing, count: told.append((doing, count)))
    assert (loaded.records, loaded.state.revision) == (2, 3)
    assert [doing for doing, _ in told] == ["comparing the hash", "checking the file", "restoring records"]
    assert datadir.identify(datadir.read_listing(tmp_path / "new")) is Mode.MEMBER
    async with running_member(tmp_path / "new") as member:
        store = member.opened.store
        assert store.revision == 3
        assert [kv[-3:] for kv in store.select(b"k", revision=2)] == [b"v0\x07"]
        assert store.leases.keys_of(7) == [b"k"]
        assert member.lessor.has(7)
        assert [one.name for one in member.replica.applier.membership.members()] == ["default"]
        assert store.bucket_rows(b"members_removed") == []
        assert store.bucket_get(b"cluster", b"clusterVersion") is None
        await ask(member, requests.PUT, pb.PutRequest(key=b"k", value=b"x"))
        assert store.revision == 4


def test_every_member_of_the_new_cluster_is_restored_for_itself(snapshot: Path, tmp_path: Path) -> None:
    cluster = {"a": ["http://10.0.0.1:2380"], "b": ["http://10.0.0.2:2380", "http://10.0.0.3:2380"]}
    seen = []
    for name in cluster:
        wanted = replace(
            plan(tmp_path, name=name, initial_cluster=cluster, advertise_peer_urls=cluster[name][::-1]),
            data_dir=tmp_path / name,
            wal_dir=tmp_path / f"{name}-wal",
        )
        restore_snapshot(snapshot, wanted)
        assert list((tmp_path / f"{name}-wal").glob("*.wal"))
        opened = open_member(tmp_path / name / "member", tmp_path / f"{name}-wal", Bootstrap("", {}, ""))
        members = Membership(opened.store).members()
        seen.append((opened.cluster_id, members, opened.store.hash_by_revision()))
        assert next(one.name for one in members if one.id == opened.member_id) == name
        assert opened.store.applied_index == 2
        opened.close()
    assert seen[0] == seen[1]


def test_plans_that_cannot_be_followed(snapshot: Path, tmp_path: Path) -> None:
    one = {"default": ["http://a:1", "http://b:1"]}
    for changes, complaint in (
        ({"name": "x"}, 'couldn\'t find local name "x"'),
        (
            {"initial_cluster": one, "advertise_peer_urls": ["http://a:1"]},
            "has default=http://b:1 but missing from --ini",
        ),
        (
            {"initial_cluster": one, "advertise_peer_urls": ["http://a:1", "http://b:1", "http://c:1"]},
            "c:1 but missing",
        ),
        ({"data_dir": snapshot.parent}, "not empty or could not be read"),
        ({"data_dir": snapshot}, "not empty or could not be read"),
        ({"wal_dir": snapshot.parent}, "wal-dir .* exists"),
        ({"data_dir": tmp_path / "snapshot.db" / "below"}, "not empty or could not be read"),
    ):
        with pytest.raises(StartError, match=complaint):
            restore_snapshot(snapshot, replace(plan(tmp_path), **changes))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("had_data_dir", [True, False])
def test_damage_leaves_nothing_behind(snapshot: Path, tmp_path: Path, had_data_dir: bool) -> None:
    if had_data_dir:
        (tmp_path / "new").mkdir()
    data = bytearray(snapshot.read_bytes())
    snapshot.write_bytes(data[:-32])
    with pytest.raises(StorageError, match="snapshot missing hash but --skip-hash-check=false"):
        restore_snapshot(snapshot, plan(tmp_path))
    data[-40] ^= 1
    snapshot.write_bytes(data)
    with pytest.raises(StorageError, match=r"expected sha256 \[.*\], got \["):
        restore_snapshot(snapshot, plan(tmp_path))
    data[2 * 4096 + 10] ^= 1
    snapshot.write_bytes(data)
    with pytest.raises(StorageError, match=r"snapshot file integrity check failed: .*snapshot\.db: page 2: "):
        restore_snapshot(snapshot, plan(tmp_path, skip_hash_check=True))
    # What only shows while records are read: a record at one revision that tells of another.
    data[2 * 4096 + 10] ^= 1
    place = data.index(b"\x0a\x01k\x10\x02\x18\x02")
    data[place + 6] = 9
    snapshot.write_bytes(data)
    with pytest.raises(StorageError, match="at revision 2 says that it is of 9"):
        restore_snapshot(snapshot, plan(tmp_path, skip_hash_check=True))
    assert (tmp_path / "new").exists() is had_data_dir
    assert not had_data_dir or list((tmp_path / "new").iterdir()) == []


def test_every_flipped_byte_of_a_saved_file_is_found(snapshot: Path, tmp_path: Path) -> None:
    data = snapshot.read_bytes()
    for place in range(0, len(data), 11):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        snapshot.write_bytes(damaged)
        with pytest.raises(StorageError):
            restore_snapshot(snapshot, plan(tmp_path))
    assert not (tmp_path / "new").exists()
