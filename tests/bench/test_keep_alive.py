"""That only a lease's answer with a TTL counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dualmode.api import etcdserverpb
from tests.bench.h2load import LoadFailedError
from tests.bench.http2_client import Connection
from tests.bench.keep_alive import Streams
from tests.bench.workloads import Shape, grpc_message


def streams() -> Streams:
    links: Any = SimpleNamespace(links=[SimpleNamespace(http2=Connection("localhost", "/x"))])
    made = Streams(links, Shape(1, 3))
    for lease in (1, 2, 3):
        made.ask(0, lease)
    return made


def answer(lease: int, ttl: int = 600) -> bytes:
    return grpc_message(etcdserverpb.LeaseKeepAliveResponse(ID=lease, TTL=ttl))


def test_answers_are_counted_however_they_come() -> None:
    for size in range(1, 60):
        some, wire = streams(), answer(1) + answer(2) + answer(3)
        found = [it for at in range(0, len(wire), size) for it in some.answers(0, wire[at : at + size])]
        assert found == [1, 2, 3]
        assert (some.asked, some.answered, len(some.latencies)) == (3, 3, 3)


@pytest.mark.parametrize("wrong", [answer(1, ttl=0), answer(4)])
def test_a_lease_that_is_gone_or_another_ends_the_run(wrong: bytes) -> None:
    with pytest.raises(LoadFailedError, match="was answered with"):
        streams().answers(0, wrong)
