"""The guard of the hot path: that it lets pass what it recorded, and nothing that takes twice as long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import guard


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (1.5, 0), (2.0, 1)])
def test_what_is_twice_as_slow_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, code: int
) -> None:
    recorded = dict.fromkeys(guard.GUARDED, 3.0)
    monkeypatch.setattr(guard, "RECORD", tmp_path / "guard.json")
    monkeypatch.setattr(guard, "measured", lambda: recorded | {"applied puts": 3.0 * factor})
    guard.RECORD.write_text(json.dumps(recorded))
    done = CliRunner().invoke(guard.main, [])
    assert done.exit_code == code
    assert ("SLOWER" in done.output) is bool(code)


@pytest.mark.parametrize("name", guard.GUARDED)
def test_what_is_measured_runs_and_is_recorded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CALLS", 20)
    monkeypatch.setattr(guard, "PUTS", 200)
    guard.GUARDED[name]()
    assert json.loads(Path(guard.__file__).with_name("guard.json").read_text())[name] > 0
