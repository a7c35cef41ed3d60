"""Decides: requests that vary: which calls are made one after another, and how large each right answer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any, Final

from dualmode.api import etcdserverpb
from tests.bench.workloads import GRPC_PREFIX, SPAN_KEYS, VALUE, grpc_message
from tests.interop.grpc_client import path_of

#: Bytes that an answer may grow by while writes go on: revisions and versions take more bytes as they rise.
GROWTH_OF_A_KEY: Final = 12
#: How many different requests are drawn before the clock runs.
DRAWN: Final = 4096
PAGE_KEYS: Final = 1000
RANGES_BETWEEN_PUTS: Final = 10
#: Ids of leases that we choose ourselves: all take four bytes, so all answers are equally large.
FIRST_LEASE: Final = 1 << 21
LEASES_OF_A_SLOT: Final = 100_000
LEASE_TTL_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Call:
    """A gRPC message for the method with that number, and the size of the answer's message, prefix and all: an error
    has none."""

    path: int
    body: bytes
    smallest: int
    largest: int


@dataclass(frozen=True, slots=True)
class Script:
    """`chain(slot, turn)`: the calls, one after another, of that turn of that slot. There are as many slots as requests
    are under way at once."""

    paths: tuple[str, ...]
    chain: Callable[[int, int], Sequence[Call]]


def repeated(path: str, body: bytes, answer_bytes: int) -> Script:
    """Always the same."""
    chain = (Call(0, body, answer_bytes, answer_bytes),)
    return Script((path,), lambda slot, turn: chain)


def shuffled(path: str, bodies: Sequence[bytes], answer_bytes: int) -> Script:
    """Several bodies, each slot at another."""
    calls = [(Call(0, body, answer_bytes, answer_bytes + GROWTH_OF_A_KEY),) for body in bodies]
    return Script((path,), lambda slot, turn: calls[(slot * 61 + turn) % len(calls)])


def _range(first: bytes, end: bytes, limit: int = 0) -> bytes:
    return grpc_message(etcdserverpb.RangeRequest(key=first, range_end=end, limit=limit))


def changing_intervals(whole: Any) -> Script:
    """Another thousand neighbours out of all keys each time; `whole` is the answer that has all of them."""
    keys = [kv.key for kv in whole.kvs]
    # What a key takes of an answer: its tag and length (two bytes for all of 128 to 16,383), then itself.
    so_far = [0, *accumulate(3 + kv.ByteSize() for kv in whole.kvs)]
    rest = whole.ByteSize() - so_far[-1] - _count_bytes(whole.count) + _count_bytes(SPAN_KEYS)
    draw = Random(1)
    calls = []
    for _ in range(DRAWN):
        first = draw.randrange(len(keys) - SPAN_KEYS)
        size = len(GRPC_PREFIX) + rest + so_far[first + SPAN_KEYS] - so_far[first]
        calls.append((Call(0, _range(keys[first], keys[first + SPAN_KEYS]), size, size),))
    return Script((path_of("Range"),), lambda slot, turn: calls[(slot * 61 + turn) % DRAWN])


def _count_bytes(count: int) -> int:
    return int(etcdserverpb.RangeResponse(count=count).ByteSize())


def written_between(keys: Sequence[bytes], end: bytes, whole: Any, put_answer: Any) -> Script:
    """Ten Ranges of all `keys`, then a Put of one of them, and so on."""
    size = len(GRPC_PREFIX) + whole.ByteSize()
    ranges = (Call(0, _range(keys[0], end), size, size + GROWTH_OF_A_KEY * len(keys)),)
    draw = Random(1)
    drawn = [keys[draw.randrange(len(keys))] for _ in range(DRAWN)]
    bodies = [grpc_message(etcdserverpb.PutRequest(key=key, value=VALUE)) for key in drawn]
    put_size = len(GRPC_PREFIX) + put_answer.ByteSize()
    puts = [(Call(1, body, put_size, put_size + GROWTH_OF_A_KEY),) for body in bodies]
    period = RANGES_BETWEEN_PUTS + 1

    def chain(slot: int, turn: int) -> Sequence[Call]:
        return puts[(slot * 61 + turn) % DRAWN] if (slot + turn) % period == RANGES_BETWEEN_PUTS else ranges

    return Script((path_of("Range"), path_of("Put")), chain)


def paging(first: bytes, end: bytes, ask: Callable[[Any], Any]) -> Script:
    """From page to page, as a client lists what is too much for one answer: each begins behind the last key of the one
    before it. `ask` answers a RangeRequest. Every slot is somewhere else on the way, and begins again at its end."""
    pages = []
    key, more = first, True
    while more:
        request = etcdserverpb.RangeRequest(key=key, range_end=end, limit=PAGE_KEYS)
        page = ask(request)
        size = len(GRPC_PREFIX) + page.ByteSize()
        pages.append((Call(0, grpc_message(request), size, size),))
        key, more = page.kvs[-1].key + b"\0", page.more
    return Script((path_of("Range"),), lambda slot, turn: pages[(slot * 37 + turn) % len(pages)])


def leases(grant_answer: Any, revoke_answer: Any) -> Script:
    """Grants a lease, then revokes it. The answers are those to a lease of `FIRST_LEASE` and its TTL."""
    grant_size, revoke_size = (len(GRPC_PREFIX) + answer.ByteSize() for answer in (grant_answer, revoke_answer))

    def chain(slot: int, turn: int) -> Sequence[Call]:
        lease = FIRST_LEASE + slot * LEASES_OF_A_SLOT + turn % LEASES_OF_A_SLOT
        grant = grpc_message(etcdserverpb.LeaseGrantRequest(ID=lease, TTL=LEASE_TTL_SECONDS))
        revoke = grpc_message(etcdserverpb.LeaseRevokeRequest(ID=lease))
        return (Call(0, grant, grant_size, grant_size), Call(1, revoke, revoke_size, revoke_size))

    return Script((path_of("LeaseGrant"), path_of("LeaseRevoke")), chain)
