"""Two servers under the same random work: a few seeds here, `python -m tests.differential` for long runs."""

from __future__ import annotations

import contextlib

import pytest

from tests.differential.json_transport import JsonTransport
from tests.differential.run import compare_servers
from tests.differential.transport import GrpcTransport
from tests.interop.servers import Server

pytestmark = pytest.mark.interop

OPERATIONS = 1500


Way = type[GrpcTransport] | type[JsonTransport]


def assert_no_difference(
    a: Server, b: Server, seed: int, way: Way = GrpcTransport, operations: int = OPERATIONS
) -> None:
    with contextlib.closing(way(a.target)) as left, contextlib.closing(way(b.target)) as right:
        report = compare_servers(left, right, seed, operations)
    if report.difference is not None:
        tail = "\n".join(line[:300] for line in list(report.history_lines())[-10:])
        command = f"python -m tests.differential --seed {seed} --operations {operations} A_URL B_URL"
        pytest.fail(f"{report.difference}\n\nthe last operations:\n{tail}\n\nto see it again: {command}", pytrace=False)
    assert len(report.history) >= operations


def test_etcd_equals_itself(etcd: Server, other_etcd: Server) -> None:
    assert_no_difference(etcd, other_etcd, seed=1)


def test_etcd_3_4_answers_as_3_5(etcd: Server, debian_etcd: Server) -> None:
    assert_no_difference(debian_etcd, etcd, seed=2)


# Odd seeds compare hashes of the whole store, even ones attach leases whose ids the servers chose.
@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_dualmode_answers_as_etcd(etcd: Server, dualmode: Server, seed: int) -> None:
    assert_no_difference(etcd, dualmode, seed)


def test_etcd_equals_itself_in_json(etcd: Server, other_etcd: Server) -> None:
    assert_no_difference(etcd, other_etcd, 3, JsonTransport)


@pytest.mark.parametrize("seed", [21, 22])
def test_dualmode_answers_as_etcd_in_json(etcd: Server, dualmode: Server, seed: int) -> None:
    assert_no_difference(etcd, dualmode, seed, JsonTransport)
