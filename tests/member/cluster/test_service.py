"""The Cluster service of a member alone: which fault is told first, as etcd does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.server import MemberServer
from dualmode.rpc.local import call_unary
from tests.member.conftest import running_member


async def refused(member: MemberServer, name: str, **fields: Any) -> RpcError:
    method: Any = next(one for one in member.methods() if one.name == name)
    with pytest.raises(RpcError) as caught:
        await call_unary(method.handler, method.request(**fields).SerializeToString())
    return caught.value


async def test_a_member_that_is_not_there_comes_before_urls_that_are_none(tmp_path: Path) -> None:
    async with running_member(tmp_path) as member:
        own_id = member.headers.member_id
        assert await refused(member, "MemberUpdate", ID=1, peerURLs=["nonsense"]) == errors.MEMBER_NOT_FOUND
        assert await refused(member, "MemberUpdate", ID=own_id, peerURLs=["nonsense"]) == errors.BAD_MEMBER_URLS
        assert await refused(member, "MemberAdd", peerURLs=["nonsense"]) == errors.BAD_MEMBER_URLS


async def test_promotions_that_are_refused_are_counted_by_what_they_say(tmp_path: Path) -> None:
    async with running_member(tmp_path) as member:
        own_id = member.headers.member_id
        for member_id in (own_id, own_id, 1):
            await refused(member, "MemberPromote", ID=member_id)
        assert member.cluster.promotions == 0
        assert member.cluster.promotions_refused == {
            (errors.MEMBER_NOT_LEARNER.message,): 2,
            (errors.MEMBER_NOT_FOUND.message,): 1,
        }
