"""What is asked before an answer is given, and that one that is remembered is no exception."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.replica import Replica
from dualmode.member.server import MemberServer
from dualmode.rpc.local import call_unary
from tests.member.conftest import StartMember, ask

FIELDS = {"key": b"a", "range_end": b"b"}


async def read(member: MemberServer, **fields: Any) -> Any:
    message = pb.RangeRequest(**(FIELDS | fields)).SerializeToString()
    return pb.RangeResponse.FromString(await call_unary(member.kv.range, message))


async def put(member: MemberServer, key: bytes) -> None:
    await ask(member, requests.PUT, pb.PutRequest(key=key, value=b"v"))


async def test_a_remembered_answer_has_the_header_of_now(tmp_path: Path, start_member: StartMember) -> None:
    async with start_member(tmp_path) as member:
        await put(member, b"a1")
        answers = [await read(member) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        await put(member, b"b")
        later = await read(member)
        assert later.header.revision == answers[2].header.revision + 1
        assert (later.kvs, later.count) == (answers[2].kvs, 1)
        await put(member, b"a2")
        assert (await read(member)).count == 2
        assert member.kv.ranges == 5


async def test_a_linearizable_read_waits_though_its_answer_is_remembered(
    tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_member(tmp_path) as member:
        await put(member, b"a1")
        for _ in range(3):
            await read(member)
            await read(member, serializable=True)
        waiting: list[Callable[[], None]] = []
        intake = member.replica.intake
        monkeypatch.setattr(intake, "can_read_now", False)
        monkeypatch.setattr(intake, "when_readable", lambda answer, reply: waiting.append(answer))
        assert (await read(member, serializable=True)).count == 1
        assert not waiting

        got: list[bytes] = []
        message = pb.RangeRequest(**FIELDS).SerializeToString()
        member.kv.range(_Call(got), message)  # type: ignore[arg-type]
        assert not got
        # What is written while it waits is in its answer.
        await put(member, b"a2")
        waiting[0]()
        assert pb.RangeResponse.FromString(got[0]).count == 2


class _Call:
    def __init__(self, got: list[bytes]) -> None:
        self.reply = got.append


async def test_a_learner_refuses_it(tmp_path: Path, start_member: StartMember, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start_member(tmp_path) as member:
        for _ in range(3):
            await read(member)
            await read(member, serializable=True)
        monkeypatch.setattr(member.replica.intake, "can_read_now", False)
        monkeypatch.setattr(Replica, "is_learner", property(lambda replica: True))
        with pytest.raises(RpcError) as caught:
            await read(member)
        assert caught.value == errors.NOT_SUPPORTED_FOR_LEARNER
        assert (await read(member, serializable=True)).count == 0
