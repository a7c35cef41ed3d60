"""Watches of several clients in a namespace that ride on one of a member, with the test in the member's place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from dualmode.api import etcdserverpb as pb
from dualmode.http.interface import RequestHead
from dualmode.proxy.namespace.key_space import KeySpace
from dualmode.proxy.namespace.service import NamespacedWatches
from dualmode.proxy.sharing.watch_service import SharedWatchService
from dualmode.rpc.framing import frame
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.table import MethodTable
from tests.proxy.fake_upstreams import FakeUpstreams
from tests.rpc.fake_link import Answer, FakeLink

PATH = b"/etcdserverpb.Watch/Watch"
HEADER = {"revision": 10}


class Case:
    """Two clients of one proxy."""

    def __init__(self, service: SharedWatchService, link: FakeLink, upstreams: FakeUpstreams) -> None:
        self.upstreams = upstreams
        self._route = grpc_routes(MethodTable(service.methods()))[PATH]
        self._link = link

    def open(self, number: int) -> Answer:
        """A client's stream with one watch of all keys from "a" on."""
        head = RequestHead(b"POST", b"http", b"here", PATH, ((b"content-type", b"application/grpc"),))
        sink = self._route.serve(self._link, number, head, b"")
        assert sink is not None
        create = pb.WatchRequest(create_request={"key": b"a", "range_end": b"\0"})
        data = frame(create.SerializeToString())
        sink.on_data(data, len(data))
        return self._link.answer(number)

    def requests(self) -> list[Any]:
        (asked,) = self.upstreams.asked
        return [pb.WatchRequest.FromString(message) for message in asked.messages]

    def send(self, **fields: Any) -> None:
        self.upstreams.asked[0].send(pb.WatchResponse(header=HEADER, **fields).SerializeToString())


@asynccontextmanager
async def two_clients() -> AsyncIterator[tuple[Case, list[Answer]]]:
    """Both watches are made; the second rides on the first."""
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            upstreams = FakeUpstreams()
            service = SharedWatchService(upstreams, NamespacedWatches(KeySpace(b"ns/")))  # type: ignore[arg-type]
            await nursery.start(service.run)
            case = Case(service, FakeLink(nursery), upstreams)
            answers = []
            for number in (1, 3):
                answers.append(case.open(number))
                await wait_all_tasks_blocked()
                created = [one for one in case.requests() if one.HasField("create_request")][-1].create_request
                assert (created.key, created.range_end) == (b"ns/a", b"ns0")
                case.send(created=True, watch_id=created.watch_id)
                await wait_all_tasks_blocked()
            assert service.counts() == (2, 1)
            yield case, answers
            nursery.cancel_scope.cancel()


async def test_an_event_is_stripped_once_for_all() -> None:
    async with two_clients() as (case, answers):
        event = {"kv": {"key": b"ns/b", "mod_revision": 11}, "prev_kv": {"key": b"ns/b", "mod_revision": 9}}
        case.send(watch_id=1, events=[event])
        await wait_all_tasks_blocked()
        for answer in answers:
            (seen,) = pb.WatchResponse.FromString(answer.messages[-1]).events
            assert (seen.kv.key, seen.prev_kv.key) == (b"b", b"b")


@pytest.mark.parametrize("key", [b"other", b"ns", b""])
async def test_an_event_outside_ends_the_streams_and_nothing_else(key: bytes) -> None:
    async with two_clients() as (case, answers):
        case.send(watch_id=1, events=[{"kv": {"key": key, "mod_revision": 11}}])
        await wait_all_tasks_blocked()
        for answer in answers:
            assert answer.grpc_status == (13, "dualmode: the member answered with a key outside the namespace")
            assert len(answer.messages) == 1
        case.open(5)  # the service goes on
        await wait_all_tasks_blocked()
        assert len(case.upstreams.asked) == 2
