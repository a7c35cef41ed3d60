"""Does: the servers of the differential tests, started once for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.failure_logs import pytest_runtest_makereport  # noqa: F401
from tests.interop.servers import DEBIAN_ETCD, Server, start_etcd, start_member
from tests.interop.tested import start_tested

#: What is compared is answers; tests/interop/crash.py looks after durability.
FAST = ("--unsafe-no-fsync", "--bcrypt-cost=4")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_etcd(tmp_path_factory.mktemp("etcd"), flags=FAST) as server:
        yield server


@pytest.fixture(scope="module")
def other_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_etcd(tmp_path_factory.mktemp("other"), flags=FAST, name="other") as server:
        yield server


@pytest.fixture(scope="module")
def debian_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not DEBIAN_ETCD.exists():
        pytest.skip(f"no {DEBIAN_ETCD}: Debian's etcd-server is not installed")
    directory = tmp_path_factory.mktemp("debian")
    with start_member((str(DEBIAN_ETCD),), "debian", directory, flags=("--bcrypt-cost=4",)) as server:
        yield server


@pytest.fixture(scope="module")
def dualmode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_tested(tmp_path_factory.mktemp("dualmode"), flags=FAST) as server:
        yield server
