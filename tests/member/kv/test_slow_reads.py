"""Reads that hold up the loop are told of, as etcd does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from dualmode.api import etcdserverpb as pb
from dualmode.member.server import MemberServer
from dualmode.rpc.local import call_unary
from tests.member.conftest import StartMember


async def read(member: MemberServer) -> list[Any]:
    """What is logged while a range, a transaction that only reads, and a get of one key are answered."""
    everything = pb.RangeRequest(key=b"\0", range_end=b"\0", serializable=True)
    with structlog.testing.capture_logs() as logged:
        await call_unary(member.kv.range, everything.SerializeToString())
        txn = pb.TxnRequest(success=[pb.RequestOp(request_range=everything)])
        await call_unary(member.kv.txn, txn.SerializeToString())
        await call_unary(member.kv.range, pb.RangeRequest(key=b"a").SerializeToString())
    return [line for line in logged if line["event"] == "apply request took too long" and "prefix" in line]


async def test_slow_reads_are_logged_and_counted(tmp_path: Path, start_member: StartMember) -> None:
    async with start_member(tmp_path, slow_apply_seconds=0.0) as member:
        before = member.replica.counters.slow_applies
        lines = await read(member)
        assert [line["prefix"] for line in lines] == ["read-only range ", "read-only txn "]
        assert lines[0]["request"] == r'key: "\000" range_end: "\000" serializable: true'
        assert lines[0]["expected_duration"] == "0ms"
        assert lines[0]["response"].startswith("size:")
        assert member.replica.counters.slow_applies == before + 2


async def test_remembered_answers_are_no_exception(tmp_path: Path, start_member: StartMember) -> None:
    async with start_member(tmp_path, slow_apply_seconds=0.0) as member:
        lines = [await read(member) for _ in range(3)]
        assert [one["prefix"] for one in lines[2]] == ["read-only range ", "read-only txn "]
        assert lines[2][0]["request"] == lines[0][0]["request"]
        assert lines[2][0]["response"] == lines[0][0]["response"]


@pytest.mark.parametrize("seconds", [3600.0])
async def test_quick_reads_are_not(tmp_path: Path, start_member: StartMember, seconds: float) -> None:
    async with start_member(tmp_path, slow_apply_seconds=seconds) as member:
        assert await read(member) == []
