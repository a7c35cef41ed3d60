"""`dualmode snapshot` as a command: what it hands to the member's tools, what it prints, what it refuses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dualmode import limits
from dualmode.ctl.snapshot import Progress, Tools, main
from dualmode.errors import StartError
from tests.storage.bbolt.trees import written


@dataclass
class Loaded:
    records: int = 3
    lost_leases: set[int] = field(default_factory=lambda: {10})

    @dataclass
    class _State:
        revision: int = 8

    state: Any = field(default_factory=_State)


@dataclass
class Imported:
    loaded: Loaded = field(default_factory=Loaded)
    member_id: int = 0xAB
    cluster_id: int = 0xCD
    waiting_entries: int = 5
    members: int = 3


class Asked:
    """Takes the place of the member's tools."""

    def __init__(self, error: Exception | None = None) -> None:
        self.source: Path | None = None
        self.plan: dict[str, Any] = {}
        self.directories: tuple[Any, ...] = ()
        self._error = error

    def restore(self, source: Path, tell: Any, **plan: Any) -> Loaded:
        if self._error:
            raise self._error
        self.source, self.plan = source, plan
        return Loaded()

    def import_data_dir(self, *arguments: Any) -> Imported:
        self.directories = arguments[:4]
        return Imported()

    def run(self, *arguments: str) -> int:
        return main(arguments, Tools(self.restore, self.import_data_dir))


def test_restore_hands_over_what_the_flags_say(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked()
    code = asked.run(
        "restore", "s.db", "--name=b", "--initial-cluster=a=http://a:1,b=http://b:1,b=http://b:2",
        "--initial-cluster-token=t", "--initial-advertise-peer-urls=http://b:2,http://b:1", "--wal-dir=w",
        "--skip-hash-check", "--bump-revision=5", "--mark-compacted",
    )  # fmt: skip
    assert code == 0
    assert asked.source == Path("s.db")
    assert asked.plan == {
        "data_dir": Path("b.etcd"),
        "wal_dir": Path("w"),
        "name": "b",
        "initial_cluster": {"a": ["http://a:1"], "b": ["http://b:1", "http://b:2"]},
        "cluster_token": "t",
        "advertise_peer_urls": ["http://b:1", "http://b:2"],
        "skip_hash_check": True,
        "bump_revision": 5,
    }
    assert capsys.readouterr().err == (
        "warning: keys name the lease a, which is not there: they will not expire\n"
        "restored 3 records up to revision 8 into b.etcd\n"
    )


def test_defaults_are_those_of_etcdutl() -> None:
    asked = Asked()
    assert asked.run("restore", "s.db", "--data-dir", "d") == 0
    assert asked.plan == {
        "data_dir": Path("d"),
        "wal_dir": None,
        "name": "default",
        "initial_cluster": {"default": ["http://localhost:2380"]},
        "cluster_token": "etcd-cluster",
        "advertise_peer_urls": ["http://localhost:2380"],
        "skip_hash_check": False,
        "bump_revision": 0,
    }


def test_import(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked()
    assert asked.run("import", "old", "new", "--wal-dir=w") == 0
    assert asked.directories == (Path("old"), Path("new"), Path("w"), None)
    told = capsys.readouterr().err
    assert "imported member ab of cluster cd into new: 3 records up to revision 8; 5 log" in told
    assert "it is one of 3 members" in told


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["restore"], "Missing argument"),
        (["restore", "s.db", "--bump-revision=1"], "go together"),
        (["restore", "s.db", "--mark-compacted"], "go together"),
        (["restore", "s.db", "--bump-revision=-1", "--mark-compacted"], "not in the range"),
        (["restore", "s.db", "--initial-cluster=nonsense"], 'invalid member "nonsense"'),
        (["restore", "s.db", "--initial-advertise-peer-urls=ftp://a:1"], "URL scheme must be"),
        (["save", "s.db", "--endpoints=a:1,b:1"], "one selected node"),
        (["status", "s.db", "-w", "protobuf"], "is not one of"),
    ],
)
def test_arguments_that_cannot_be_followed(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Asked().run(*arguments) == 2
    assert complaint in capsys.readouterr().err


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert Asked(StartError('data-dir "d" not empty or could not be read')).run("restore", "s.db") == 1
    assert capsys.readouterr().err == 'Error: data-dir "d" not empty or could not be read\n'


def test_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = written({b"key": {bytes(7) + b"\x09_" + bytes(8): b"v"}, b"meta": {b"k": b"v"}})
    file = tmp_path / "s.db"
    # With the hash that `save` puts behind it, and without.
    for content in (data, data + hashlib.sha256(data).digest()):
        file.write_bytes(content)
        assert Asked().run("status", str(file)) == 0
        assert capsys.readouterr().out.endswith(", 9, 2, 12 kB\n")
    damaged = bytearray(data)
    damaged[2 * 4096] ^= 1
    file.write_bytes(damaged)
    assert Asked().run("status", str(file)) == 1
    assert capsys.readouterr().err.startswith(f"Error: snapshot file integrity check failed: {file}: page 2: ")


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "no such file or directory"), (b"", "file is empty"), (b"x", "invalid database")]
)
def test_status_of_what_is_no_database(
    tmp_path: Path, content: bytes | None, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.db"
    if content is not None:
        file.write_bytes(content)
    assert Asked().run("status", str(file)) == 1
    assert complaint in capsys.readouterr().err


def test_a_server_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Asked().run("save", str(tmp_path / "s.db"), "--endpoints=127.0.0.1:1") == 1
    assert "Error: cannot take a snapshot from http://127.0.0.1:1: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Progress()
    tell("reading", None)
    tell("reading", 5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(limits, "PROGRESS_SECONDS", 0.0)
    tell("reading", 6)
    assert capsys.readouterr().err == "reading: 6\n"


def test_help_needs_no_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert Asked().run("--help") == 0
    assert "restore" in capsys.readouterr().out
