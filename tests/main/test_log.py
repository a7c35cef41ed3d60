"""The log: etcd's field names, levels, outputs; and never a reason to stop."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from dualmode import log
from dualmode.errors import StartError


@pytest.fixture(autouse=True)
def _configured_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_zaps_fields_in_zaps_order(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    log.get("member").info("ready to serve client requests", address="127.0.0.1:2379", port=1, ok=True)
    (line,) = _lines(capsys.readouterr().err)
    assert list(line) == ["level", "ts", "logger", "caller", "msg", "address", "port", "ok"]
    assert (line["level"], line["logger"], line["msg"]) == ("info", "member", "ready to serve client requests")
    assert (line["address"], line["port"], line["ok"]) == ("127.0.0.1:2379", 1, True)
    assert re.fullmatch(r"main/test_log\.py:\d+", line["caller"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d{4})", line["ts"])


def test_levels_as_zap_spells_them(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("debug")
    logger = log.get("a")
    logger.debug("1")
    logger.warning("2")
    logger.error("3")
    logger.critical("4")
    assert [line["level"] for line in _lines(capsys.readouterr().err)] == ["debug", "warn", "error", "fatal"]


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warn", 2), ("error", 1), ("fatal", 0)])
def test_what_is_below_the_level_is_not_written(level: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(level)
    logger = log.get("a")
    for write in (logger.debug, logger.info, logger.warning, logger.error):
        write("x")
    assert len(_lines(capsys.readouterr().err)) == count


def test_a_logger_may_be_older_than_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    logger = log.get("early")
    log.configure("warn")
    logger.info("no")
    logger.warning("yes")
    assert [line["msg"] for line in _lines(capsys.readouterr().err)] == ["yes"]


def test_failures_have_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    try:
        raise ValueError("why")
    except ValueError as error:
        log.get("test").exception("in a handler")
        caught = error
    log.get("test").error("given", exc_info=caught)
    for line in _lines(capsys.readouterr().err):
        assert line["error"] == "ValueError: why"
        assert "Traceback" in line["stacktrace"]
        assert "test_log.py" in line["stacktrace"]


def test_values_that_are_not_json(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    log.get("test").info("x", key=b"\xffa", path=Path("/a"), text="\u00e9\n")
    (line,) = _lines(capsys.readouterr().err)
    assert (line["key"], line["path"], line["text"]) == ("\\xffa", "/a", "\u00e9\n")


def test_console_has_no_colours_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form="console")
    log.get("member").warning("careful", key="a b")
    text = capsys.readouterr().err
    assert "\x1b" not in text
    for part in ("warn", "careful", "member", "key='a b'"):
        assert part in text


def test_console_has_colours_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    log.configure(form="console")
    log.get("test").warning("careful")
    assert "\x1b" in capsys.readouterr().err


def test_outputs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("before\n")
    log.configure(outputs=["default", "stderr", "systemd/journal", "stdout", str(file)])
    log.get("test").info("x")
    out, err = capsys.readouterr()
    assert len(_lines(out)) == len(_lines(err)) == 1
    before, line = file.read_text().splitlines()
    assert before == "before"
    assert json.loads(line)["msg"] == "x"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot open '.*' of --log-outputs: No such file or directory"):
        log.configure(outputs=[str(tmp_path / "none" / "log")])


def test_an_output_that_is_gone_is_no_reason_to_stop(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    log.configure(outputs=["stdout", "stderr"])
    log.get("test").info("x")
    assert len(_lines(capsys.readouterr().err)) == 1


@pytest.mark.parametrize(("seconds", "ending"), [(0.0, ".000"), (1.9996, ".999"), (1732428600.123, ".123")])
def test_timestamps_do_not_round_up_into_the_next_second(seconds: float, ending: str) -> None:
    text = log.timestamp(seconds)
    assert text[19:23] == ending


def test_no_frame_no_caller() -> None:
    assert log.caller(None) == ""
