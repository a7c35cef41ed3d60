"""JSON over HTTP/1.1, HTTP/2 without TLS and HTTP/2 with TLS, by curl; what is right is what etcd's gateway answers."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.interop.conftest import Farm
from tests.interop.curl import PROGRAM, WAYS, curl, curl_lines
from tests.interop.grpc_client import connect, start_afresh
from tests.interop.servers import Server
from tests.interop.tested import IS_OURS, TARGET

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(PROGRAM is None, reason="curl is not installed"),
]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def only_ours(way: str = "h2c") -> None:
    if TARGET == "etcd" and way == "h2c":
        pytest.skip("etcd answers gRPC only on HTTP/2 without TLS")


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    only_ours(request.param)
    return str(request.param)


@pytest.fixture
def servers(farm: Farm, way: str) -> tuple[Server, Server]:
    """(etcd without TLS, the tested server), both empty and at one revision."""
    pair = farm.etcd(), farm.tested(tls=way in ("https/1.1", "h2"))
    with connect(pair[0]) as etcd, connect(pair[1]) as tested:
        start_afresh(etcd, tested)
    return pair


KEY, END = b64("a"), b64("z")
PUT = {"key": KEY, "value": b64("1")}
CALLS: list[tuple[str, Any]] = [
    ("/v3/kv/put", PUT),
    ("/v3/kv/put", {**PUT, "prev_kv": True}),
    ("/v3/kv/put", {"key": b64("b"), "value": "/+8="}),
    ("/v3/kv/range", {"key": KEY}),
    ("/v3/kv/range", {"key": KEY, "rangeEnd": END, "limit": "1"}),
    ("/v3/kv/range", {"key": KEY, "range_end": END, "sort_order": "DESCEND", "sort_target": 0, "keys_only": True}),
    ("/v3/kv/range", {"key": KEY, "range_end": END, "count_only": True}),
    ("/v3/kv/range", {"key": b64("none")}),
    ("/v3/kv/range", {"key": KEY, "unknown_field": [1, {"x": None}]}),
    ("/v3/kv/range", {}),
    ("/v3/kv/range", ""),
    ("/v3/kv/range", {"key": KEY, "revision": 1_000_000}),
    ("/v3/kv/range", '{"key": '),
    ("/v3/kv/range", '{"key": 7}'),
    ("/v3/kv/range", "[]"),
    (
        "/v3/kv/txn",
        {
            "compare": [{"target": "VERSION", "key": KEY, "version": "2"}],
            "success": [{"request_put": {"key": KEY, "value": b64("2")}}, {"request_range": {"key": KEY}}],
            "failure": [{"request_delete_range": {"key": KEY}}],
        },
    ),
    ("/v3/kv/txn", {"compare": [{"result": "GREATER", "target": "VALUE", "key": KEY, "value": b64("9")}]}),
    ("/v3/kv/deleterange", {"key": KEY, "prev_kv": True}),
    ("/v3/kv/deleterange", {"key": KEY}),
    ("/v3/kv/compaction", {"revision": "1000000"}),
    ("/v3/lease/grant", {"TTL": 1000, "ID": "77"}),
    ("/v3/lease/grant", {"TTL": 1000, "ID": 77}),
    ("/v3/lease/timetolive", {"ID": "77", "keys": True}),
    ("/v3/kv/lease/timetolive", {"ID": 12345}),
    ("/v3/lease/leases", {}),
    ("/v3/kv/lease/revoke", {"ID": 77}),
    ("/v3/lease/revoke", {"ID": 77}),
]


def comparable(body: Any) -> Any:
    """Without what is every server's own; of errors code and text (the gateways of 3.5 and 3.6 add other fields)."""
    if "code" in body:
        # A decoder's own words differ between the gateways' generations, as they do between languages.
        is_decoder = body["code"] == 3 and not body["message"].startswith("etcdserver")
        return {"code": body["code"], "message": "(the decoder's)" if is_decoder else body["message"]}
    return {name: value for name, value in body.items() if name not in ("header", "TTL")} | {
        "revision": body["header"]["revision"]
    }


def test_calls_answer_as_etcd(servers: tuple[Server, Server], way: str) -> None:
    etcd, tested = servers
    faults = []
    for path, body in CALLS:
        expected, answer = curl(etcd, "http/1.1", path, body), curl(tested, way, path, body)
        assert answer.version == ("2" if way in ("h2c", "h2") else "1.1")
        assert answer.headers["content-type"] == "application/json"
        left, right = ((it.status, comparable(it.json())) for it in (expected, answer))
        if left != right:
            faults.append(f"POST {path} {body}\n  etcd: {left}\n  tested: {right}")
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def test_base64_of_urls_is_taken_too(servers: tuple[Server, Server], way: str) -> None:
    """As the gateway of 3.6 does; the one of 3.5 refuses it."""
    if not IS_OURS:
        pytest.skip("came with the gateway of etcd 3.6")
    _, tested = servers
    assert curl(tested, way, "/v3/kv/put", {"key": KEY, "value": "_-8="}).status == 200
    assert curl(tested, way, "/v3/kv/range", {"key": KEY}).json()["kvs"][0]["value"] == "/+8="


def test_watch_streams_lines(servers: tuple[Server, Server], way: str) -> None:
    etcd, tested = servers
    create = {"create_request": {"key": KEY, "range_end": END, "start_revision": "1", "prev_kv": True}}
    for server, how in ((etcd, "http/1.1"), (tested, way)):
        revision = int(curl(server, how, "/v3/kv/put", PUT).json()["header"]["revision"])
        curl(server, how, "/v3/kv/deleterange", {"key": KEY})
        create["create_request"]["start_revision"] = str(revision)
    expected, lines = (
        curl_lines(etcd, "http/1.1", "/v3/watch", create, 2),
        curl_lines(tested, way, "/v3/watch", create, 2),
    )
    for created, events in (expected, lines):
        assert created["result"].pop("header")
        assert events["result"].pop("header")
    assert lines == expected


def test_wrong_paths_and_methods(servers: tuple[Server, Server], way: str) -> None:
    _, tested = servers
    assert curl(tested, way, "/v3/kv/nothing", {}).status == 404
    assert curl(tested, way, "/nothing").status == 404
    assert curl(tested, way, "/v3/kv/range").status in (405, 501)  # GET: the 1.x and the 2.x gateway


def test_version(servers: tuple[Server, Server], way: str) -> None:
    etcd, tested = servers
    expected, answer = curl(etcd, "http/1.1", "/version"), curl(tested, way, "/version")
    assert answer.status == 200
    assert answer.headers["content-type"] == expected.headers["content-type"]
    assert answer.json().keys() >= expected.json().keys()


def test_health(servers: tuple[Server, Server], way: str) -> None:
    etcd, tested = servers
    for query in ("", "?serializable=true", "?exclude=NOSPACE"):
        assert curl(tested, way, f"/health{query}").json() == curl(etcd, "http/1.1", f"/health{query}").json()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_livez_and_readyz(servers: tuple[Server, Server], way: str, path: str) -> None:
    if not IS_OURS:
        pytest.skip("came with etcd 3.5.11; the wheel has 3.5.1")
    _, tested = servers
    assert (curl(tested, way, path).status, curl(tested, way, path).body) == (200, b"ok\n")
    verbose = curl(tested, way, f"{path}?verbose").body.decode().splitlines()
    assert "[+]serializable_read ok" in verbose
    assert verbose[-1] == "ok"
    assert curl(tested, way, f"{path}/serializable_read").status == 200
    assert curl(tested, way, f"{path}/nothing").status == 404


def test_metrics(servers: tuple[Server, Server], way: str) -> None:
    _, tested = servers
    answer = curl(tested, way, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.body.decode().splitlines()
    assert "etcd_server_has_leader 1" in lines or "etcd_server_has_leader 1.0" in lines
    assert any(line.startswith("etcd_mvcc_put_total ") for line in lines)


def test_cross_origin_headers(servers: tuple[Server, Server], way: str) -> None:
    etcd, tested = servers
    names = ("access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers")
    expected = curl(etcd, "http/1.1", "/version", None, "--header", "Origin: http://example.org").headers
    answer = curl(tested, way, "/version", None, "--header", "Origin: http://example.org").headers
    assert [answer.get(name) for name in names] == [expected.get(name) for name in names]
