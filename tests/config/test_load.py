"""Three sources and their order; faults and notices that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualmode import limits
from dualmode.config.load import Loaded, load
from dualmode.config.option import Mode
from dualmode.errors import ConfigError


def _faults(loaded: Loaded, mode: Mode = Mode.MEMBER) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded.settings(mode)
    return caught.value.faults


@pytest.mark.parametrize(
    ("flags", "environ", "file", "value", "source"),
    [
        ([], {}, "", "default", "default"),
        ([], {}, "name: f", "f", "{file} line 1, name"),
        ([], {"ETCD_NAME": "e"}, "name: f", "e", "ETCD_NAME"),
        ([], {"ETCD_NAME": "e", "DUALMODE_NAME": "d"}, "name: f", "d", "DUALMODE_NAME"),
        (["--name=x"], {"ETCD_NAME": "e", "DUALMODE_NAME": "d"}, "name: f", "x", "--name"),
        (["--name=x", "-name=y"], {}, "", "y", "--name"),
        (["--name=default"], {"ETCD_NAME": "e"}, "", "default", "--name"),
    ],
)
def test_precedence(
    flags: list[str], environ: dict[str, str], file: str, value: str, source: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.yml"
    path.write_text(file)
    loaded = load("member", [f"--config-file={path}", *flags], environ)
    assert loaded.values["name"] == value
    assert str(loaded.values.source("name")) == source.format(file=path)


def test_a_file_leaves_flags_and_environment_in_force(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("name: f\nheartbeat-interval: 50\n")
    loaded = load("", ["--election-timeout=700"], {"ETCD_CONFIG_FILE": str(path), "ETCD_SNAPSHOT_COUNT": "7"})
    values = loaded.values
    assert (values["name"], values["heartbeat-interval"]) == ("f", 50)
    assert (values["election-timeout"], values["snapshot-count"]) == (700, 7)


def test_the_flag_for_the_file_beats_the_variable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"name: {name}")
    environ = {"ETCD_CONFIG_FILE": str(tmp_path / "a")}
    assert load("", [f"--config-file={tmp_path / 'b'}"], environ).values["name"] == "b"


def test_all_faults_at_once_each_with_its_source(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("nmae: a\nsnapshot-count: many\n")
    loaded = load(
        "",
        [f"--config-file={path}", "--heartbeat-interval=400", "--listen-client-urls=http://example.org:1", "--xyzzy=1"],
        {"ETCD_MAX_TXN_OPS": "-1", "ETCD_ELECTION_TIMEOUT": "1000"},
    )
    assert _faults(loaded) == [
        "flag provided but not defined: --xyzzy",
        f"{path} line 1, nmae: unknown key, did you mean name?",
        f'{path} line 2, snapshot-count: "many" is not a whole number',
        "ETCD_MAX_TXN_OPS: -1 is negative",
        "--listen-client-urls: expected IP in URL for binding (http://example.org:1)",
        "--listen-client-urls: --advertise-client-urls is required when --listen-client-urls is set explicitly",
        "--heartbeat-interval, ETCD_ELECTION_TIMEOUT: --election-timeout[1000ms] should be at least as 5 times "
        "as --heartbeat-interval[400ms]",
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, binary, long = tmp_path / "missing", tmp_path / "binary", tmp_path / "long"
    binary.write_bytes(b"\xff\xfe")
    long.write_text("#" * (limits.CONFIG_FILE_CHARACTERS + 1))
    assert _faults(load("", [f"--config-file={missing}"], {})) == [
        f"--config-file: cannot read {missing}: No such file or directory"
    ]
    assert _faults(load("", [], {"ETCD_CONFIG_FILE": str(binary)})) == [
        f"ETCD_CONFIG_FILE: {binary} is not text in UTF-8"
    ]
    assert "longer than" in _faults(load("", [f"--config-file={long}"], {}))[0]


def test_notices_of_what_does_nothing() -> None:
    loaded = load("member", ["--enable-v2", "--endpoints=a:1"], {"ETCD_NAMESPACE": "n", "ETCD_LOGGER": "zap"})
    assert loaded.notices_for(Mode.MEMBER) == [
        "--endpoints means nothing to a member",
        "ETCD_LOGGER is accepted and does nothing: lines have zap's field names in any case",
        "--enable-v2 is accepted and does nothing: the v2 API is gone, as from etcd 3.6",
    ]
    loaded.settings(Mode.MEMBER)


def test_the_value_of_an_ignored_option_must_be_one() -> None:
    assert _faults(load("", ["--backend-batch-limit=x"], {})) == ['--backend-batch-limit: "x" is not a whole number']


def test_help_beside_a_fault() -> None:
    assert load("", ["--nmae=a", "--help"], {}).asks_for("help")
    assert not load("", [], {}).asks_for("help")
