"""Does: shows the end of every running server's log beside a test that failed. Import the hook in a conftest."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.interop.processes import RUNNING


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.extend((f"log of {server.name}", server.describe()) for server in list(RUNNING))
    return report
