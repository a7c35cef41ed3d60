"""The status pages through their routes."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from dualmode.http.interface import RequestHead
from dualmode.status.facts import Versions
from dualmode.status.metrics import MetricsPage
from dualmode.status.routes import StatusRoutes
from tests.rpc.fake_link import Answer, FakeLink
from tests.status.fake_facts import FakeFacts


async def get(path: bytes, method: bytes = b"GET", facts: FakeFacts | None = None, body: bool = False) -> Answer:
    routes = StatusRoutes(facts or FakeFacts(), MetricsPage(), ["dualmode", "member"]).client()
    head = RequestHead(method, b"http", b"localhost", path, (), b"1.1")
    async with trio.open_nursery() as nursery:
        link = FakeLink(nursery)
        route = routes[path.partition(b"?")[0]]
        if body:
            route.refuse_body(link, 1, head, b"")
        else:
            assert route.serve(link, 1, head, b"") is None
    return link.answer()


async def test_version() -> None:
    answer = await get(b"/version")
    assert answer.field(b"content-type") == b"application/json"
    assert answer.body == b'{"etcdserver":"3.6.0","etcdcluster":"3.6.0","storage":"3.6.0","dualmode":"0.1.0"}'


async def test_version_before_the_cluster_has_one() -> None:
    facts = FakeFacts()
    facts.versions = Versions("3.6.0", None, None, "0.1.0")
    assert json.loads((await get(b"/version", facts=facts)).body)["etcdcluster"] == "not_decided"


async def test_health_asks_the_server() -> None:
    facts = FakeFacts()
    facts.alarms = ["NOSPACE"]
    assert (await get(b"/health?exclude=NOSPACE", facts=facts)).field(b":status") == b"200"
    answer = await get(b"/health", facts=facts)
    assert answer.field(b":status") == b"503"
    assert json.loads(answer.body)["reason"] == "ALARM NOSPACE"


@pytest.mark.parametrize("path", [b"/livez", b"/livez/serializable_read", b"/readyz", b"/readyz/data_corruption"])
async def test_probes(path: bytes) -> None:
    answer = await get(path)
    assert (answer.field(b":status"), answer.body) == (b"200", b"ok\n")
    assert answer.field(b"content-type") == b"text/plain; charset=utf-8"


@pytest.mark.parametrize("path", [b"/version", b"/health", b"/readyz", b"/debug/vars", b"/metrics"])
async def test_only_reading(path: bytes) -> None:
    answer = await get(path, b"PUT")
    assert (answer.field(b":status"), answer.body) == (b"405", b"Method Not Allowed\n")
    assert (answer.field(b"allow") or b"").startswith(b"GET")


async def test_metrics_have_the_counters_of_the_pages() -> None:
    answer = await get(b"/metrics")
    assert b"\netcd_server_health_success 0\n" in answer.body
    assert b'etcd_server_healthcheck{type="livez",name="serializable_read"} 0' in answer.body
    assert b'etcd_server_healthchecks_total{type="readyz",name="non_learner",status="error"} 0' in answer.body
    head = await get(b"/metrics", b"HEAD")
    assert (head.field(b":status"), head.body) == (b"200", b"")


async def test_debug_vars() -> None:
    answer = await get(b"/debug/vars")
    assert answer.field(b"content-type") == b"application/json; charset=utf-8"
    shown = json.loads(answer.body)
    assert shown["cmdline"] == ["dualmode", "member"]
    assert shown["raft.status"] == {"id": 1}
    assert shown["file_descriptor_limit"] > 0


@pytest.mark.parametrize("path", [b"/version", b"/health"])
async def test_a_body_changes_nothing(path: bytes) -> None:
    assert (await get(path, body=True)).field(b":status") == b"200"


def test_metrics_listeners_serve_no_more_than_monitoring() -> None:
    routes = StatusRoutes(FakeFacts(), MetricsPage(), []).monitoring()
    assert {b"/metrics", b"/health", b"/livez", b"/readyz"} < set(routes)
    assert not {b"/version", b"/debug/vars"} & set(routes)
