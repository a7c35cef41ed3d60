"""The dispatcher, with a runner that only remembers what it was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dualmode import log
from dualmode.config.settings import MemberSettings, ProxySettings
from dualmode.errors import StartError
from dualmode.main import main, split_command


class Dispatcher:
    """Runs `main` in a directory of its own."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.code = 0
        self.started: list[MemberSettings | ProxySettings] = []
        self.logs: list[tuple[Any, ...]] = []
        self.out = self.err = ""
        self._capsys = capsys
        monkeypatch.chdir(directory)
        # The log is the process's: configuring it for real would outlast this test.
        monkeypatch.setattr(log, "configure", lambda *arguments: self.logs.append(arguments))

    def __call__(self, line: str = "", **environ: str) -> int:
        code = main(line.split(), environ, self._run)
        self.out, self.err = self._capsys.readouterr()
        return code

    def _run(self, settings: MemberSettings | ProxySettings) -> int:
        self.started.append(settings)
        return self.code


@pytest.fixture
def dualmode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dispatcher:
    return Dispatcher(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("argv", "command", "arguments"),
    [
        ([], "", []),
        (["--name=a"], "", ["--name=a"]),
        (["member", "--name=a"], "member", ["--name=a"]),
        (["proxy"], "proxy", []),
        (["version"], "version", []),
        (["gateway"], "", ["gateway"]),
        (["--name", "member"], "", ["--name", "member"]),
    ],
)
def test_the_first_word_is_the_command(argv: list[str], command: str, arguments: list[str]) -> None:
    assert split_command(argv) == (command, arguments)


@pytest.mark.parametrize(
    ("line", "there", "kind"),
    [
        ("", "", MemberSettings),
        ("--proxy=on", "", ProxySettings),
        ("--proxy=readonly", "", ProxySettings),
        ("--proxy=off", "", MemberSettings),
        ("", "default.etcd/member", MemberSettings),
        ("--proxy=on", "default.etcd/member", MemberSettings),  # the data dir wins, as in etcd
        ("", "default.etcd/proxy", ProxySettings),
        ("--proxy=off", "default.etcd/proxy", ProxySettings),
        ("--data-dir=d", "d/proxy", ProxySettings),
        ("--name=m1", "m1.etcd/proxy", ProxySettings),
        ("member", "", MemberSettings),
        ("member", "default.etcd/member", MemberSettings),
        ("proxy", "", ProxySettings),
        ("proxy", "default.proxy/proxy", ProxySettings),
        ("proxy", "default.etcd/member", ProxySettings),  # it has a data dir of its own
    ],
)
def test_the_mode(line: str, there: str, kind: type, dualmode: Dispatcher) -> None:
    if there:
        (dualmode.directory / there).mkdir(parents=True)
    assert dualmode(line) == 0
    (settings,) = dualmode.started
    assert type(settings) is kind
    # The directory is the mode's to make, once its ports are bound.
    assert {path.name for path in dualmode.directory.iterdir()} == ({Path(there).parts[0]} if there else set())


@pytest.mark.parametrize(
    ("line", "there", "fault"),
    [
        ("", ["d/member", "d/proxy"], "both member and proxy directories exist"),
        ("member", ["d/member", "d/proxy"], "both member and proxy directories exist"),
        ("member", ["d/proxy"], "d is the data dir of a proxy, and a member was asked for"),
        ("proxy", ["d/member"], "d is the data dir of a member, and a proxy was asked for"),
        ("", ["d/member/snap/db"], "d was written by etcd"),
        ("member", ["d/member/wal/0-0.wal"], "d was written by etcd"),
    ],
)
def test_data_dirs_that_are_refused(line: str, there: list[str], fault: str, dualmode: Dispatcher) -> None:
    for path in there:
        (dualmode.directory / path).mkdir(parents=True)
    before = sorted(dualmode.directory.rglob("*"))
    assert dualmode(f"{line} --data-dir=d") == 1
    assert dualmode.err.startswith("dualmode: ")
    assert fault in dualmode.err
    assert len(dualmode.err.splitlines()) == 1
    assert dualmode.started == []
    assert sorted(dualmode.directory.rglob("*")) == before


def test_faults_start_nothing(dualmode: Dispatcher) -> None:
    assert dualmode("--nmae=a --pre-vote=x", ETCD_HEARTBEAT_INTERVAL="-1") == 2
    assert dualmode.err.splitlines() == [
        "dualmode: 3 faults in the configuration, nothing was started:",
        "  flag provided but not defined: --nmae, did you mean --name?",
        "  ETCD_HEARTBEAT_INTERVAL: -1 is negative",
        '  --pre-vote: invalid boolean value "x", it must be true or false',
        "`dualmode help member` and `dualmode help proxy` list all options.",
    ]
    assert dualmode.started == []
    assert list(dualmode.directory.iterdir()) == []


def test_one_fault_is_not_called_faults(dualmode: Dispatcher) -> None:
    assert dualmode("gateway") == 2
    assert dualmode.err.splitlines()[:2] == [
        "dualmode: 1 fault in the configuration, nothing was started:",
        "  'gateway' is not a valid flag",
    ]


def test_the_log_is_configured_before_anything_runs(dualmode: Dispatcher) -> None:
    dualmode("--log-level=debug --log-format=console --log-outputs=stdout")
    assert dualmode.logs == [("debug", "console", ("stdout",))]


def test_the_exit_code_is_the_runners(dualmode: Dispatcher) -> None:
    dualmode.code = 1
    assert dualmode() == 1
    assert dualmode.err == ""


def test_an_error_that_went_to_a_file_is_pointed_at(dualmode: Dispatcher) -> None:
    dualmode.code = 1
    assert dualmode("--log-outputs=/var/log/dualmode.log") == 1
    assert dualmode.err == "dualmode: ended with an error, see /var/log/dualmode.log\n"


def test_notices_are_logged(dualmode: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(log.log, "warning", told.append, raising=False)
    (dualmode.directory / "default.etcd" / "member").mkdir(parents=True)
    (dualmode.directory / "default.etcd" / "notes").touch()
    dualmode("--enable-v2 --proxy=on", ETCD_NAEM="x")
    assert told == [
        "ETCD_NAEM: unrecognized environment variable, did you mean ETCD_NAME?",
        "--enable-v2 is accepted and does nothing: the v2 API is gone, as from etcd 3.6",
        "found notes in the data dir, which is not ours",
        "--proxy does nothing: default.etcd is the data dir of a member",
    ]


def test_a_start_error_of_the_log_is_one_line(dualmode: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StartError("cannot open '/x'")

    monkeypatch.setattr(log, "configure", refuse)
    assert dualmode() == 1
    assert dualmode.err == "dualmode: cannot open '/x'\n"
    assert list(dualmode.directory.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--help", "Usage:"),
        ("-h --nmae=x", "Usage:"),
        ("help", "Usage:"),
        ("member --help", "dualmode member: a full etcd v3 server"),
        ("help proxy", "dualmode proxy: a gateway"),
        ("config --help", "dualmode config"),
        ("--version", "etcd Version: "),
        ("version", "dualmode Version: "),
    ],
)
def test_what_only_prints(line: str, word: str, dualmode: Dispatcher) -> None:
    assert dualmode(line) == 0
    assert word in dualmode.out
    assert dualmode.err == ""
    assert dualmode.started == []
    assert list(dualmode.directory.iterdir()) == []


def test_config_shows_and_starts_nothing(dualmode: Dispatcher) -> None:
    assert dualmode("config proxy -w json --name=p --enable-v2") == 0
    rows = {row["name"]: row for row in json.loads(dualmode.out)}
    assert rows["name"]["value"] == "p"
    assert rows["endpoints"]["value"] == "http://127.0.0.1:2379"
    assert dualmode.err == "notice: --enable-v2 is accepted and does nothing: the v2 API is gone, as from etcd 3.6\n"
    assert list(dualmode.directory.iterdir()) == []


def test_config_follows_the_data_dir(dualmode: Dispatcher) -> None:
    (dualmode.directory / "default.etcd" / "proxy").mkdir(parents=True)
    assert dualmode("config") == 0
    assert "\nendpoints " in dualmode.out


def test_config_tells_faults(dualmode: Dispatcher) -> None:
    assert dualmode("config --heartbeat-interval=0") == 2
    assert "--heartbeat-interval must be >0" in dualmode.err
    assert dualmode.out == ""


def test_certs_is_reached(dualmode: Dispatcher) -> None:
    assert dualmode("certs --help") == 0
    assert "create" in dualmode.out
