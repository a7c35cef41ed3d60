"""The scenarios of clusters, at a small scale (`python -m tests.interop.clusters` runs them at their full size)."""

import inspect
from pathlib import Path

import pytest

from tests.interop.clusters.scenarios import SCENARIOS
from tests.interop.servers import DEBIAN_ETCD

pytestmark = pytest.mark.interop

SCALE = 0.3


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, tmp_path: Path) -> None:
    SCENARIOS[name](tmp_path, SCALE, print)


@pytest.mark.parametrize(
    "name", [name for name, scenario in SCENARIOS.items() if "theirs" in inspect.signature(scenario).parameters]
)
@pytest.mark.skipif(not DEBIAN_ETCD.exists(), reason="needs Debian's etcd-server (3.4)")
@pytest.mark.slow
def test_scenario_with_an_older_etcd(name: str, tmp_path: Path) -> None:
    SCENARIOS[name](tmp_path, SCALE / 3, print, theirs="etcd-3.4")
