"""RangeStream on a whole member: chunks that make up the answer of Range, whatever is written meanwhile."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from dualmode import errors, limits
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from dualmode.member.apply import requests
from dualmode.member.kv.range_stream import ChunkSize, check
from dualmode.member.server import MemberServer
from dualmode.rpc.local import LocalCall, call_unary
from tests.member.conftest import ask, running_member

KEYS = 300


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[MemberServer]:
    """300 keys of growing values: revisions 2 to 301."""
    async with running_member(tmp_path, max_request_bytes=20_000) as running:
        for number in range(KEYS):
            await ask(running, requests.PUT, pb.PutRequest(key=b"%03d" % number, value=b"v" * number))
        yield running


class Stream:
    """Takes the answers; after each it does something to the member."""

    def __init__(self, request: Any, after_each: Callable[[int], Any] | None = None) -> None:
        call = LocalCall()
        self.metadata, self.peer = call.metadata, call.peer
        self._request = request.SerializeToString()
        self._after_each = after_each
        self.chunks: list[bytes] = []

    async def receive(self) -> bytes:
        return bytes(self._request)

    async def send(self, message: bytes) -> None:
        self.chunks.append(message)
        if self._after_each is not None:
            await self._after_each(len(self.chunks))


async def stream(member: MemberServer, request: Any, after_each: Any = None) -> list[Any]:
    """The RangeResponses of all chunks."""
    taken: Any = Stream(request, after_each)
    await member.range_stream.range_stream(taken)
    return [pb.RangeStreamResponse.FromString(chunk).range_response for chunk in taken.chunks]


def together(chunks: list[Any]) -> Any:
    """Concatenation is how protobuf merges."""
    return pb.RangeResponse.FromString(b"".join(chunk.SerializeToString() for chunk in chunks))


REQUESTS = [
    {},
    {"limit": 1},
    {"limit": 10},
    {"limit": 11},
    {"limit": 137},
    {"limit": KEYS},
    {"limit": KEYS + 1},
    {"revision": 100},
    {"revision": 100, "limit": 50},
    {"keys_only": True},
    {"count_only": True},
    {"serializable": True},
    {"sort_order": 1},
    {"range_end": b""},
    {"range_end": b"000"},
]


@pytest.mark.parametrize("fields", REQUESTS)
async def test_chunks_are_the_answer_of_range(member: MemberServer, fields: dict[str, Any]) -> None:
    request = pb.RangeRequest(**({"key": b"001", "range_end": b"\0"} | fields))
    chunks = await stream(member, request)
    expected = pb.RangeResponse.FromString(await call_unary(member.kv.range, request.SerializeToString()))
    assert together(chunks) == expected
    for chunk in chunks[:-1]:
        assert not chunk.HasField("header")
        assert (chunk.more, chunk.count) == (False, 0)
    assert max(len(chunk.SerializeToString()) for chunk in chunks) < 60_000


async def test_all_chunks_are_of_one_revision(member: MemberServer) -> None:
    request = pb.RangeRequest(key=b"\0", range_end=b"\0")
    expected = together(await stream(member, request))

    async def write(number: int) -> None:
        for key in (b"000", b"150", b"299", b"2999%d" % number):
            await ask(member, requests.PUT, pb.PutRequest(key=key))
        await ask(member, requests.DELETE_RANGE, pb.DeleteRangeRequest(key=b"298"))

    changed = together(await stream(member, request, write))
    assert list(changed.kvs) == list(expected.kvs)
    assert changed.count == KEYS


async def test_a_compaction_ends_a_stream_that_is_too_slow(member: MemberServer) -> None:
    async def compact(number: int) -> None:
        if number == 2:
            await ask(member, requests.PUT, pb.PutRequest(key=b"a"))
            await ask(member, requests.COMPACTION, pb.CompactionRequest(revision=member.opened.store.revision))

    with pytest.raises(RpcError) as caught:
        await stream(member, pb.RangeRequest(key=b"\0", range_end=b"\0"), compact)
    assert caught.value == errors.COMPACTED


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({}, Code.INVALID_ARGUMENT, "key is not provided"),
        ({"key": b"a", "sort_order": 2}, Code.UNIMPLEMENTED, "custom sort orders"),
        ({"key": b"a", "sort_target": 1}, Code.UNIMPLEMENTED, "custom sort orders"),
        ({"key": b"a", "max_mod_revision": 1}, Code.UNIMPLEMENTED, "revision filters"),
        ({"key": b"a", "sort_target": 9}, Code.INVALID_ARGUMENT, "invalid sort option"),
    ],
)
def test_what_cannot_be_streamed(fields: dict[str, Any], code: Code, text: str) -> None:
    with pytest.raises(RpcError, match=text) as caught:
        check(pb.RangeRequest(**fields))
    assert caught.value.code == code


def test_chunks_of_small_records_are_bounded_by_their_number() -> None:
    size = ChunkSize(1 << 30)
    for _ in range(30):
        size.note(1)
    assert size.keys == limits.RANGE_STREAM_KEYS


def test_chunks_grow_and_shrink_towards_their_size() -> None:
    size, seen = ChunkSize(1000), []
    for chunk_bytes in (100, 499, 500, 2000, 2001, 9999, 9999, 9999, 9999, 9999, 9999):
        size.note(chunk_bytes)
        seen.append(size.keys)
    assert seen == [20, 40, 40, 40, 20, 10, 5, 2, 1, 1, 1]
