"""What people read: help, versions, `dualmode config`, docs/configuration.md, the samples."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dualmode import ETCD_VERSION, __version__
from dualmode.config.document import document
from dualmode.config.help import help_text, version_text
from dualmode.config.load import load
from dualmode.config.option import Mode
from dualmode.config.options import OPTIONS
from dualmode.config.show import WRITE_OUT, show
from dualmode.config.yaml_file import parse_file
from dualmode.errors import ConfigError

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "conf").glob("**/*.yml"))


@pytest.mark.parametrize("mode", list(Mode))
def test_help_of_a_mode_lists_what_it_has(mode: Mode) -> None:
    text = help_text(mode)
    for option in OPTIONS:
        listed = bool(re.search(rf"^  --{re.escape(option.name)}( |$)", text, re.MULTILINE))
        assert listed == (mode in option.modes and not option.ignored), option.name
        if option.ignored and mode in option.modes:
            assert f"--{option.name}" in text
    assert max(map(len, text.splitlines())) <= 120


def test_help_shows_the_defaults_of_the_mode() -> None:
    assert "(default http://127.0.0.1:23790)" in help_text("proxy")
    assert "(default http://localhost:2379)" in help_text("member")


def test_help_without_a_topic_teaches() -> None:
    text = help_text("")
    for word in ("Usage:", "Examples:", "dualmode member", "dualmode proxy", "dualmode config", "Exit codes"):
        assert word in text
    assert help_text("nonsense") == text
    assert "exit code 2" in help_text("config")


def test_the_first_line_of_the_version_is_etcds() -> None:
    lines = version_text().splitlines()
    assert lines[0] == f"etcd Version: {ETCD_VERSION}"
    assert lines[1] == f"dualmode Version: {__version__}"


def test_config_as_a_table() -> None:
    loaded = load("member", ["--name=m1"], {"ETCD_SNAPSHOT_COUNT": "7"}, WRITE_OUT)
    rows = {line.split()[0]: line for line in show(loaded, Mode.MEMBER).splitlines()}
    assert rows["name"].split() == ["name", "m1", "--name"]
    assert rows["snapshot-count"].split() == ["snapshot-count", "7", "ETCD_SNAPSHOT_COUNT"]
    assert rows["pre-vote"].split() == ["pre-vote", "true", "default"]
    assert "endpoints" not in rows
    assert "help" not in rows


def test_config_as_json_hides_secrets() -> None:
    loaded = load("member", ["-w", "json", "--discovery-password=hunter2"], {}, WRITE_OUT)
    text = show(loaded, Mode.MEMBER)
    rows = {row["name"]: row for row in json.loads(text)}
    assert rows["name"] == {"name": "name", "value": "default", "source": "default"}
    assert rows["discovery-password"]["value"] == "(hidden)"
    assert "hunter2" not in text


def test_config_in_another_format() -> None:
    with pytest.raises(ConfigError, match='"xml" is not one of table, json'):
        load("member", ["-w", "xml"], {}, WRITE_OUT).settings(Mode.MEMBER)


def test_the_page_of_options_is_up_to_date() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == document(), (
        "run `python -m dualmode.config.document`"
    )


def test_the_page_has_every_option() -> None:
    text = document()
    assert [option.name for option in OPTIONS if f"`--{option.name}" not in text] == []


def test_there_are_samples() -> None:
    assert {"member.yml", "member-tls.yml", "proxy.yml"} <= {path.name for path in SAMPLES}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_load(path: Path) -> None:
    mode = Mode.PROXY if "proxy" in path.name else Mode.MEMBER
    reading = parse_file(path.read_text(encoding="utf-8"), path.name)
    assert reading.faults == []
    assert [one.option.name for one in reading.given if mode not in one.option.modes or one.option.ignored] == []
    loaded = load(mode, [f"--config-file={path}"], {})
    loaded.settings(mode)
    assert loaded.notices_for(mode) == []
