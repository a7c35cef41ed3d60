"""Traces of steps."""

import time

import pytest

from dualmode.member.trace import Trace


def test_each_step_is_told_with_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((10.0, 10.5, 10.52))
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    trace = Trace()
    assert trace.took_seconds() == 0.0
    trace.step("wrote the log")
    trace.step("applied")
    assert trace.took_seconds() == pytest.approx(0.52)
    assert trace.lines() == ["wrote the log (duration: 500.000ms)", "applied (duration: 20.000ms)"]
