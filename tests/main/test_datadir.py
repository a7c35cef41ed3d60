"""Data dirs: told apart by a listing; marked when made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dualmode.config.option import Mode
from dualmode.datadir import FORMAT, Listing, check_mode, claim, identify, read_listing, unexpected
from dualmode.errors import StartError

OURS = f'{{"format": {FORMAT}}}'


def _listing(names: str = "", member: str = "", marker: str | None = None, log: bool = False, bbolt: bool = False):  # type: ignore[no-untyped-def]
    return Listing("d", frozenset(names.split()), frozenset(member.split()), log, bbolt, marker)


@pytest.mark.parametrize(
    ("listing", "mode"),
    [
        (_listing(), None),
        (_listing("fixtures"), None),
        (_listing("something else"), None),
        (_listing("proxy"), Mode.PROXY),
        (_listing("proxy fixtures"), Mode.PROXY),
        (_listing("member"), Mode.MEMBER),  # made, and nothing put into it yet
        (_listing("member", "dualmode.json", OURS), Mode.MEMBER),
        (_listing("member", "dualmode.json wal store", OURS, log=True), Mode.MEMBER),
        (_listing("member", "dualmode.json wal store snap", OURS, log=True, bbolt=True), Mode.MEMBER),
    ],
)
def test_identifies(listing: Listing, mode: Mode | None) -> None:
    assert identify(listing) is mode


@pytest.mark.parametrize(
    ("listing", "fault"),
    [
        (_listing("member proxy"), "invalid datadir d; both member and proxy directories exist"),
        (_listing("member", "snap wal", log=True, bbolt=True), "written by etcd.*dualmode snapshot import d NEW"),
        (_listing("member", "snap", bbolt=True), "written by etcd"),
        (_listing("member", "wal", log=True), "written by etcd"),
        (_listing("member", "store"), "not known who made it"),
        (_listing("member", "dualmode.json", '{"format": 2}'), r"newer dualmode \(format 2, this one knows 1\)"),
        (_listing("member", "dualmode.json", ""), "dualmode.json is damaged"),
        (_listing("member", "dualmode.json", "[]"), "dualmode.json is damaged"),
        (_listing("member", "dualmode.json", "[" * 4096), "dualmode.json is damaged"),
        (_listing("member", "dualmode.json", "{}"), "dualmode.json is damaged"),
        (_listing("member", "dualmode.json", '{"format": true}'), "dualmode.json is damaged"),
        (_listing("member", "dualmode.json", '{"format": "1"}'), "dualmode.json is damaged"),
        (_listing("member", "dualmode.json", '{"format": 0}'), "dualmode.json is damaged"),
    ],
)
def test_refuses(listing: Listing, fault: str) -> None:
    with pytest.raises(StartError, match=fault):
        identify(listing)


def test_a_mode_asked_for_by_name() -> None:
    check_mode(_listing(), Mode.PROXY)
    check_mode(_listing("proxy"), Mode.PROXY)
    with pytest.raises(StartError, match="d is the data dir of a member, and a proxy was asked for"):
        check_mode(_listing("member", "dualmode.json", OURS), Mode.PROXY)
    with pytest.raises(StartError, match="d is the data dir of a proxy, and a member was asked for"):
        check_mode(_listing("proxy"), Mode.MEMBER)


def test_what_is_not_ours_is_named() -> None:
    assert unexpected(_listing("member fixtures lost+found notes.txt a")) == ["a", "notes.txt"]


def test_nothing_there(tmp_path: Path) -> None:
    assert read_listing(tmp_path / "new") == Listing(str(tmp_path / "new"))


def test_claiming_a_member(tmp_path: Path) -> None:
    directory = claim(tmp_path / "new", Mode.MEMBER)
    assert directory == tmp_path / "new" / "member"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert os.listdir(directory) == ["dualmode.json"]
    before = (directory / "dualmode.json").stat()
    claim(tmp_path / "new", Mode.MEMBER)
    assert (directory / "dualmode.json").stat().st_ino == before.st_ino
    (directory / "wal").mkdir()
    (directory / "wal" / "0.wal").touch()
    assert identify(read_listing(tmp_path / "new")) is Mode.MEMBER


def test_claiming_a_proxy(tmp_path: Path) -> None:
    assert os.listdir(claim(tmp_path, Mode.PROXY)) == []
    assert identify(read_listing(tmp_path)) is Mode.PROXY


def test_what_etcd_left(tmp_path: Path) -> None:
    for directory in ("wal", "snap"):
        (tmp_path / "member" / directory).mkdir(parents=True)
    (tmp_path / "member" / "snap" / "db").touch()
    with pytest.raises(StartError, match="written by etcd"):
        identify(read_listing(tmp_path))


def test_a_log_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "wal").mkdir()
    (tmp_path / "wal" / "0000000000000000-0000000000000000.wal").touch()
    (tmp_path / "d" / "member").mkdir(parents=True)
    assert read_listing(tmp_path / "d", tmp_path / "wal").has_log
    assert not read_listing(tmp_path / "d").has_log


def test_places_that_are_no_directories(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"error listing data dir .*Not a directory"):
        read_listing(tmp_path / "file")
    with pytest.raises(StartError, match=r"cannot write to the data dir .*Not a directory"):
        claim(tmp_path / "file", Mode.MEMBER)
    (tmp_path / "d" / "member" / "dualmode.json").mkdir(parents=True)
    with pytest.raises(StartError, match=r"cannot read .*dualmode\.json: Is a directory"):
        read_listing(tmp_path / "d")


def test_a_place_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write anywhere
    with pytest.raises(StartError, match=r"cannot write to the data dir .*Permission denied"):
        claim(tmp_path, Mode.MEMBER)
