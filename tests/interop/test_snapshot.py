"""Snapshots and data dirs go from etcd to us and from us to etcd, and nothing of the store is lost on the way.

What is compared is what clients see: hashes and ranges at many revisions, leases with their keys, users. The files
pass etcd's own check (`etcdutl snapshot status`), and both tools print the same of them.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.storage.bbolt import pages
from dualmode.storage.bbolt.files import open_mapped
from dualmode.storage.bbolt.writer import Writer
from tests.interop.grpc_client import Client, connect
from tests.interop.processes import environment
from tests.interop.servers import (
    DEBIAN_ETCD,
    DUALMODE,
    ETCD,
    ETCDCTL,
    ETCDUTL,
    Server,
    start_dualmode,
    start_etcd,
    start_member,
)

pytestmark = pytest.mark.interop

NAME = "one"
PEER_URL = "http://127.0.0.1:1"  #: of members that never speak to another one


def run(*command: str | Path) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def fill(client: Client) -> None:
    """A history with all that a snapshot has to carry."""
    lease = client.LeaseGrant(TTL=5000, ID=77).ID
    client.LeaseGrant(TTL=6000, ID=(1 << 62) + 5)
    for number in range(300):
        client.Put(key=b"key/%03d" % (number % 120), value=b"%d" % number * 20, lease=lease if number % 7 == 0 else 0)
    client.Put(key=b"large", value=bytes(range(256)) * 2000)
    client.Put(key=b"\x00\xff\x00", value=b"")
    client.Compact(revision=client.DeleteRange(key=b"key/050").header.revision, physical=True)
    put = pb.RequestOp(request_put=pb.PutRequest(key=b"txn/a", value=b"1"))
    delete = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=b"key/010", range_end=b"key/020"))
    client.Txn(success=[put, delete])
    client.Put(key=b"key/011", value=b"again", lease=lease)


def seen(server: Server) -> dict[str, Any]:
    """All that clients can see of the store."""
    with closing(connect(server)) as client:
        everything = client.Range(key=b"\x00", range_end=b"\x00")
        newest = everything.header.revision
        compacted = client.HashKV().compact_revision
        # etcd 3.5.1 refuses the compacted revision itself; later ones, and we, do not.
        hashes = {one: hash_at(client, one) for one in range(max(1, newest - 5), newest + 1) if one != compacted}
        leases = {one.ID for one in client.LeaseLeases().leases}
        details = {one: client.LeaseTimeToLive(ID=one, keys=True) for one in leases}
        return {
            "revision": newest,
            "keys": [kv.SerializeToString() for kv in everything.kvs],
            "hashes": hashes,
            "leases": {one: (detail.grantedTTL, sorted(detail.keys)) for one, detail in details.items()},
        }


def hash_at(client: Client, revision: int) -> tuple[int, int] | str:
    try:
        answer = client.HashKV(revision=revision)
    except grpc.RpcError as error:
        return str(error.details())
    return answer.hash, answer.compact_revision


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def save(server: Server, file: Path) -> None:
    run(ETCDCTL, f"--endpoints={server.url}", "snapshot", "save", file)


def restore_flags(data_dir: Path) -> list[str]:
    return [
        f"--data-dir={data_dir}",
        f"--name={NAME}",
        f"--initial-cluster={NAME}={PEER_URL}",
        f"--initial-advertise-peer-urls={PEER_URL}",
    ]


def restored_by_etcd(file: Path, directory: Path, stack: ExitStack) -> Server:
    directory.mkdir()
    run(ETCDUTL, "snapshot", "restore", file, *restore_flags(directory / f"{NAME}.etcd"))
    return stack.enter_context(start_etcd(directory, name=NAME))


def restored_by_us(file: Path, directory: Path, stack: ExitStack, *flags: str) -> Server:
    directory.mkdir()
    run(*DUALMODE, "snapshot", "restore", file, *restore_flags(directory / f"{NAME}.etcd"), *flags)
    return stack.enter_context(start_dualmode(directory, name=NAME))


def assert_status_is_the_same(file: Path) -> None:
    for form in ("simple", "json", "fields", "table"):
        arguments = ("snapshot", "status", file, "-w", form)
        assert run(*DUALMODE, *arguments) == run(ETCDUTL, *arguments)


def test_from_us_to_etcd_and_back(tmp_path: Path, stack: ExitStack) -> None:
    ours = stack.enter_context(start_dualmode(tmp_path, name=NAME))
    with closing(connect(ours)) as client:
        fill(client)
    before = seen(ours)
    save(ours, tmp_path / "ours.db")
    assert_status_is_the_same(tmp_path / "ours.db")
    etcd = restored_by_etcd(tmp_path / "ours.db", tmp_path / "etcd", stack)
    assert seen(etcd) == before
    # etcd's bbolt works on what we wrote: deletes and compaction shrink its trees, and its own check still passes.
    with closing(connect(etcd)) as client:
        client.DeleteRange(key=b"key/", range_end=b"key0")
        client.Put(key=b"more", value=b"v" * 100)
        client.Compact(revision=client.Range(key=b"x").header.revision, physical=True)
    after = seen(etcd)
    run(*DUALMODE, "snapshot", "save", tmp_path / "etcd.db", f"--endpoints={etcd.url}")
    assert_status_is_the_same(tmp_path / "etcd.db")
    again = restored_by_us(tmp_path / "etcd.db", tmp_path / "again", stack)
    assert seen(again) == after


def test_from_etcd_to_us_and_back(tmp_path: Path, stack: ExitStack) -> None:
    etcd = stack.enter_context(start_etcd(tmp_path, name=NAME))
    with closing(connect(etcd)) as client:
        fill(client)
    run(ETCDCTL, f"--endpoints={etcd.url}", "user", "add", "alice:secret")
    run(ETCDCTL, f"--endpoints={etcd.url}", "role", "add", "reader")
    before = seen(etcd)
    save(etcd, tmp_path / "etcd.db")
    ours = restored_by_us(tmp_path / "etcd.db", tmp_path / "ours", stack)
    assert seen(ours) == before
    assert run(ETCDCTL, f"--endpoints={ours.url}", "user", "list") == "alice\n"
    run(*DUALMODE, "snapshot", "save", tmp_path / "ours.db", f"--endpoints={ours.url}")
    assert_status_is_the_same(tmp_path / "ours.db")
    back = restored_by_etcd(tmp_path / "ours.db", tmp_path / "back", stack)
    assert seen(back) == before
    assert run(ETCDCTL, f"--endpoints={back.url}", "user", "list") == "alice\n"
    assert run(ETCDCTL, f"--endpoints={back.url}", "role", "list") == "reader\n"


def test_users_and_that_they_must_log_in_come_along(tmp_path: Path, stack: ExitStack) -> None:
    etcd = stack.enter_context(start_etcd(tmp_path, name=NAME))
    asking = [ETCDCTL, f"--endpoints={etcd.url}"]
    root = ["--user", "root:secret"]
    for command in ("user add root:secret", "role add root", "user grant-role root root", "put k v", "auth enable"):
        run(*asking, *command.split())
    run(*asking, *root, "snapshot", "save", tmp_path / "etcd.db")
    ours = restored_by_us(tmp_path / "etcd.db", tmp_path / "ours", stack)
    asking = [ETCDCTL, f"--endpoints={ours.url}"]
    assert run(*asking, *root, "get", "k") == "k\nv\n"
    for refused in ([*asking, "get", "k"], [*DUALMODE, "snapshot", "save", tmp_path / "x", f"--endpoints={ours.url}"]):
        done = subprocess.run([str(part) for part in refused], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        assert "user name is empty" in done.stderr
    run(*DUALMODE, "snapshot", "save", tmp_path / "ours.db", f"--endpoints={ours.url}", "--user=root:secret")
    back = restored_by_etcd(tmp_path / "ours.db", tmp_path / "back", stack)
    assert run(ETCDCTL, f"--endpoints={back.url}", *root, "get", "k") == "k\nv\n"


def test_a_bumped_revision_is_the_same_for_etcd(tmp_path: Path, stack: ExitStack) -> None:
    etcd = stack.enter_context(start_etcd(tmp_path, name=NAME))
    with closing(connect(etcd)) as client:
        fill(client)
    before = seen(etcd)
    save(etcd, tmp_path / "etcd.db")
    bumped = restored_by_us(
        tmp_path / "etcd.db", tmp_path / "bumped", stack, "--bump-revision=1000000", "--mark-compacted"
    )
    after = seen(bumped)
    assert after["revision"] == before["revision"] + 1_000_000
    assert after["keys"] == before["keys"]
    assert after["leases"] == before["leases"]
    with closing(connect(bumped)) as client:
        assert client.Put(key=b"next", value=b"").header.revision == after["revision"] + 1
        with pytest.raises(grpc.RpcError, match="required revision has been compacted"):
            client.Range(key=b"large", revision=before["revision"])
    after = seen(bumped)
    save(bumped, tmp_path / "bumped.db")
    assert seen(restored_by_etcd(tmp_path / "bumped.db", tmp_path / "back", stack)) == after


@pytest.mark.parametrize("page_size", pages.PAGE_SIZES[1:])
def test_etcd_reads_our_files_of_any_page_size(tmp_path: Path, page_size: int) -> None:
    """bbolt takes the system's page size for new files, so files of other machines are made by our writer."""
    file = io.BytesIO()
    writer = Writer(file, page_size, with_freelist=page_size % 4096 == 0)
    with writer.bucket(b"key") as bucket:
        for number in range(3000):
            key = number.to_bytes(8, "big") + b"_" + bytes(8)
            bucket.put(key, b"v" * (number % 900))
    with writer.bucket(b"meta") as bucket:
        bucket.put(b"consistent_index", bytes(8))
    writer.finish()
    path = tmp_path / "file.db"
    path.write_bytes(file.getvalue())
    assert_status_is_the_same(path)
    with open_mapped(path) as mapped:
        assert mapped.bbolt.meta.page_size == page_size


@pytest.mark.parametrize("program", [ETCD, DEBIAN_ETCD], ids=["3.5", "3.4"])
@pytest.mark.parametrize("has_written_back", [True, False])
def test_we_go_on_where_a_killed_etcd_was(
    tmp_path: Path, stack: ExitStack, has_written_back: bool, program: Path
) -> None:
    """Its database lags behind its log, by everything when it was never written back; there are log snapshots too."""
    if not program.exists():
        pytest.skip(f"no {program}: Debian's etcd-server is not installed")
    flags = ["--snapshot-count=90"] + ([] if has_written_back else ["--backend-batch-interval=1h"])
    etcd = stack.enter_context(start_member((str(program),), NAME, tmp_path, flags=tuple(flags)))
    with closing(connect(etcd)) as client:
        fill(client)
    before = seen(etcd)
    etcd.process.kill()
    target = tmp_path / "ours"
    target.mkdir()
    run(*DUALMODE, "snapshot", "import", etcd.data_directory, target / f"{NAME}.etcd")
    ours = stack.enter_context(start_dualmode(target, name=NAME))
    assert seen(ours) == before
    # Its own data dir is as it was.
    etcd.start()
    assert seen(etcd) == before
    with closing(connect(ours)) as one, closing(connect(etcd)) as other:
        assert one.Range(key=b"x").header.member_id == other.Range(key=b"x").header.member_id
        assert one.Range(key=b"x").header.cluster_id == other.Range(key=b"x").header.cluster_id


def test_a_running_etcd_is_not_taken_over(tmp_path: Path, stack: ExitStack) -> None:
    etcd = stack.enter_context(start_etcd(tmp_path, name=NAME))
    done = subprocess.run(
        [*DUALMODE, "snapshot", "import", str(etcd.data_directory), str(tmp_path / "new")],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "is in use by a running etcd: stop it first" in done.stderr
    assert not (tmp_path / "new").exists()


def test_both_tools_refuse_the_same(tmp_path: Path) -> None:
    """In the same words, as far as their messages say the same thing."""
    no_file = tmp_path / "nothing.db"
    text = tmp_path / "text.db"
    text.write_text("no database" * 1000)
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "file").touch()
    free = tmp_path / "free"
    cases = {
        ("snapshot", "status", str(no_file)): f"stat {no_file}: no such file or directory",
        ("snapshot", "status", str(text)): "invalid database",
        ("snapshot", "restore", str(text), f"--data-dir={occupied}"): "not empty or could not be read",
        ("snapshot", "restore", str(text), f"--data-dir={free}", "--name=x"): 'couldn\'t find local name "x"',
        (
            "snapshot",
            "restore",
            str(text),
            f"--data-dir={free}",
            f"--wal-dir={occupied}",
        ): f'wal-dir "{occupied}" exists',
    }
    for arguments, complaint in cases.items():
        for program in ((str(ETCDUTL),), DUALMODE):
            done = subprocess.run(
                [*program, *arguments], capture_output=True, text=True, env=environment(), timeout=60, check=False
            )
            assert done.returncode != 0, program
            assert complaint in done.stderr, program
    assert not free.exists()
