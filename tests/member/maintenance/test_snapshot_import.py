"""A data dir as etcd leaves it becomes one of ours: store, log and identity; damage of each part is named."""

from __future__ import annotations

import fcntl
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google_crc32c import value as crc32c

from dualmode import datadir
from dualmode.api import etcdserverpb, raftpb, snappb
from dualmode.config.option import Mode
from dualmode.errors import StartError, StorageError
from dualmode.member.apply import requests
from dualmode.member.cluster.conf_changes import add_member_entry
from dualmode.member.maintenance.snapshot_conf_state import decode_conf_state, encode_conf_state
from dualmode.member.maintenance.snapshot_import import import_data_dir
from dualmode.peer.member import Member
from dualmode.raft import ConfState, Entry, EntryType, HardState
from dualmode.storage.backend import Backend
from dualmode.storage.bbolt.dump import dump
from dualmode.storage.bbolt.writer import Writer
from dualmode.storage.mvcc.store import Store
from dualmode.storage.wal import WriteAheadLog
from tests.member.conftest import running_member

MEMBER = Member(0xBEEF, ("http://localhost:2380",), "old")


def put_entry(index: int) -> Entry:
    data = etcdserverpb.PutRequest(key=b"k%d" % index, value=b"v").SerializeToString()
    return Entry(EntryType.NORMAL, 2, index, requests.encode(requests.PUT, data, index))


class EtcdDir:
    """Entries 1 (the member), 2 (empty), 3 (legacy: its attributes), 4 and on (puts); the database has some of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal_dir = path / "member" / "wal"
        self.snap_dir = path / "member" / "snap"

    def write(self, applied: int, logged: int, committed: int, snapshot: int = 0) -> None:
        self.snap_dir.mkdir(parents=True)
        self.write_log(logged, committed, snapshot)
        self.write_database(applied)
        if snapshot:
            self.write_snap(snapshot)

    def write_log(self, logged: int, committed: int, snapshot: int) -> None:
        metadata = etcdserverpb.Metadata(NodeID=MEMBER.id, ClusterID=0xC0FFEE).SerializeToString()
        log = WriteAheadLog.create(self.wal_dir, metadata, segment_bytes=1 << 16)
        attributes = etcdserverpb.Request(
            ID=3, Method="PUT", Path="/0/members/beef/attributes", Val='{"name":"old","clientURLs":["http://c:1"]}'
        )
        entries = [
            add_member_entry(1, 1, MEMBER),
            Entry(EntryType.NORMAL, 2, 2, b""),
            Entry(EntryType.NORMAL, 2, 3, attributes.SerializeToString()),
            *map(put_entry, range(4, logged + 1)),
        ]
        log.append(entries, HardState(2, MEMBER.id, committed))
        if snapshot:
            log.save_snapshot(snapshot, 2)
        log.sync()
        log.close()

    def write_database(self, applied: int) -> None:
        backend = Backend.open(self.path / "scratch")
        store = Store(backend)
        store.begin_pass()
        for index in range(4, applied + 1):
            store.put(b"k%d" % index, b"v")
        store.bucket_put(b"members", b"beef", b'{"id":48879,"peerURLs":["http://localhost:2380"],"name":"old"}')
        store.bucket_put(b"cluster", b"clusterVersion", b"3.5.0")
        store.end_pass(applied, 2)
        file = io.BytesIO()
        dump(backend.view(), encode_conf_state(ConfState(voters=(MEMBER.id,))), Writer(file))
        backend.close()
        (self.snap_dir / "db").write_bytes(file.getvalue())

    def write_snap(self, index: int, **changes: Any) -> Path:
        conf_state = raftpb.ConfState(voters=[MEMBER.id])
        metadata = raftpb.SnapshotMetadata(conf_state=conf_state, index=changes.get("index", index), term=2)
        data = raftpb.Snapshot(data=b"{}", metadata=metadata).SerializeToString()
        path = self.snap_dir / f"{2:016x}-{index:016x}.snap"
        path.write_bytes(snappb.snapshot(crc=crc32c(data), data=data).SerializeToString())
        return path


@pytest.fixture
def etcd(tmp_path: Path) -> EtcdDir:
    return EtcdDir(tmp_path / "etcd")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    return tmp_path / "ours"


@pytest.mark.parametrize(
    ("applied", "snapshot", "waiting"), [(10, 0, 0), (10, 8, 0), (6, 0, 4), (6, 5, 4), (2, 0, 8), (6, 8, 4)]
)
async def test_the_member_goes_on(etcd: EtcdDir, target: Path, applied: int, snapshot: int, waiting: int) -> None:
    """Entry 11 is in the log and not committed; a member alone commits it when it leads again, as etcd does. A log
    snapshot that the database has not reached (the last case) is not where the log is read from."""
    etcd.write(applied, 11, 10, snapshot)
    imported = import_data_dir(etcd.path, target)
    assert (imported.member_id, imported.cluster_id, imported.waiting_entries) == (MEMBER.id, 0xC0FFEE, waiting)
    assert imported.members == 1
    assert datadir.identify(datadir.read_listing(target)) is Mode.MEMBER
    async with running_member(target) as member:
        store = member.opened.store
        assert (member.opened.member_id, member.opened.cluster_id) == (MEMBER.id, 0xC0FFEE)
        assert sorted(kv[2:].split(b"\x10")[0] for kv in store.select(b"k", b"l")) == sorted(
            b"k%d" % index for index in range(4, 12)
        )
        assert store.revision == 9
        members = member.replica.applier.membership.members()
        assert [(one.id, one.name) for one in members] == [(MEMBER.id, "old")]
        assert members[0].client_urls == (("http://c:1",) if applied < 3 else ())
        assert member.replica.applier.membership.cluster_version == "3.5.0"


def test_directories_may_lie_elsewhere(etcd: EtcdDir, target: Path, tmp_path: Path) -> None:
    etcd.write(10, 10, 10)
    etcd.wal_dir.rename(tmp_path / "old-wal")
    import_data_dir(etcd.path, target, tmp_path / "old-wal", tmp_path / "new-wal")
    assert list((tmp_path / "new-wal").glob("*.wal"))
    assert not (target / "member" / "wal").exists()


def test_what_is_not_as_it_should_be_is_named(etcd: EtcdDir, target: Path, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is no data dir of etcd: there is no "):
        import_data_dir(tmp_path, target)
    etcd.write(10, 10, 10)
    with pytest.raises(StartError, match="not empty or could not be read"):
        import_data_dir(etcd.path, etcd.path)
    with (etcd.snap_dir / "db").open("r+b") as database:
        fcntl.flock(database, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="in use by a running etcd: stop it first"):
            import_data_dir(etcd.path, target)
    assert not target.exists()


def test_a_damaged_database_is_refused(etcd: EtcdDir, target: Path) -> None:
    etcd.write(10, 10, 10)
    with (etcd.snap_dir / "db").open("r+b") as database:
        database.seek(2 * 4096)
        database.write(b"\xff")
    with pytest.raises(StorageError, match=r"integrity check failed: .*page 2"):
        import_data_dir(etcd.path, target)
    assert not target.exists()


def test_a_log_that_ends_before_the_database_is_refused(etcd: EtcdDir, target: Path) -> None:
    etcd.write(10, 8, 8)
    with pytest.raises(StartError, match="has applied entry 10 but the write-ahead log ends at 8"):
        import_data_dir(etcd.path, target)
    assert not target.exists()


def test_a_log_without_its_beginning_needs_its_snapshot_file(etcd: EtcdDir, target: Path) -> None:
    etcd.write(10, 10, 10, 8)
    path = etcd.write_snap(8)
    # Without the file the log is read from its beginning, which is there.
    path.unlink()
    import_data_dir(etcd.path, target)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xff", "not a snapshot file of etcd"),
        (snappb.snapshot(crc=1, data=b"x").SerializeToString(), "the checksum does not fit"),
        (snappb.snapshot(crc=crc32c(b""), data=b"").SerializeToString(), "it is of index 0, term 0"),
    ],
)
def test_a_damaged_snapshot_file_is_named(etcd: EtcdDir, target: Path, content: bytes, complaint: str) -> None:
    etcd.write(10, 10, 10, 8)
    etcd.write_snap(8).write_bytes(content)
    with pytest.raises(StorageError, match=rf"\.snap: {complaint}"):
        import_data_dir(etcd.path, target)
    assert not target.exists()


def test_an_entry_that_nobody_can_apply_is_found_now(etcd: EtcdDir, target: Path) -> None:
    etcd.snap_dir.mkdir(parents=True)
    etcd.write_database(3)
    log = WriteAheadLog.create(etcd.wal_dir, etcdserverpb.Metadata(NodeID=1, ClusterID=1).SerializeToString())
    entries = [Entry(EntryType.NORMAL, 1, index, b"" if index < 4 else b"\xff\xff") for index in range(1, 5)]
    log.append(entries, HardState(1, 0, 4))
    log.sync()
    log.close()
    with pytest.raises(StorageError, match="entry 4 of the write-ahead log is no request of etcd's"):
        import_data_dir(etcd.path, target)
    assert not target.exists()


@pytest.mark.parametrize(
    "conf_state",
    [ConfState(), ConfState(voters=(1, 1 << 63)), ConfState((1,), (2,), (3,), (4,), True)],
)
def test_who_votes_in_etcds_json(conf_state: ConfState) -> None:
    assert decode_conf_state(encode_conf_state(conf_state)) == conf_state


def test_who_votes_as_etcd_writes_it() -> None:
    text = b'{"voters":[8634260996663806492],"auto_leave":false}'
    assert encode_conf_state(ConfState(voters=(8634260996663806492,))) == text
    assert decode_conf_state(b'{"voters":null}') == ConfState()
    for damaged in (b"", b"[]", b'{"voters":1}', b'{"voters":["x"]}', b"[" * 100_000):
        with pytest.raises(StorageError, match="confState is not what etcd writes"):
            decode_conf_state(damaged)
