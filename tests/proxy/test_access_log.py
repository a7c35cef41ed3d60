"""The line of a call: what stands in it, what never does, and that it comes once however the call ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc as grpcio
import httpx
import pytest
from structlog.testing import capture_logs

from dualmode.http.interface import STREAMED, Fields, RequestHead
from dualmode.http.routing import Link, PeerIdentity, Route, Sink
from dualmode.proxy.access_log import write_line
from dualmode.proxy.observed import CLIENT_LEFT, FAULT, RESET, ObservedMux
from tests.interop.clusters.cluster import eventually
from tests.interop.grpc_client import Client
from tests.interop.servers import Server, start_proxy

PEER = PeerIdentity("10.0.0.1:5000", is_tls=True, common_name="somebody")
HEAD = Fields((b":status", b"200"), (b"content-type", b"application/grpc"))


class FakeLink:
    """Takes note of what is sent."""

    peer = PEER

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.calls.append(name)


class Forwarded:
    """The sink of a forwarded call."""

    endpoint = "http://10.0.0.2:2379"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        self.heard.append("data")

    def on_end(self, trailers: Any) -> None:
        self.heard.append("end")

    def on_reset(self, error_code: int) -> None:
        self.heard.append("reset")

    def on_drained(self) -> None:
        self.heard.append("drained")


class Served:
    """A route that keeps the link it was given."""

    def __init__(self, sink: Sink | None = None) -> None:
        self.body_limit = STREAMED if sink is not None else 100
        self.sink = sink
        self.link: Any = None
        self.answer: Any = lambda link: None

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        self.link = link
        self.answer(link)
        return self.sink

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        link.respond(stream_id, Fields((b":status", b"413")), b"too long")


class Clock:
    """Every look is a quarter of a second later."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 0.25
        return self.seconds


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def route_of(served: Served, head: RequestHead) -> Route:
    class OneRoute:
        def resolve(self, head: RequestHead, peer: PeerIdentity) -> Any:
            return served

    return ObservedMux(OneRoute(), Clock(), (write_line,)).resolve(head, PEER)


def grpc(path: bytes = b"/etcdserverpb.KV/Put") -> RequestHead:
    fields = ((b"content-type", b"application/grpc"), (b"token", b"SECRET"))
    return RequestHead(b"POST", b"https", b"SECRET", path, fields)


def http(path: bytes) -> RequestHead:
    return RequestHead(b"GET", b"http", b"a", path, ((b"authorization", b"SECRET"),), b"1.1")


def test_a_forwarded_call(lines: list[Any]) -> None:
    sink = Forwarded()
    served = Served(sink)
    route, link = route_of(served, grpc()), FakeLink()
    assert route.body_limit == STREAMED
    logged = route.serve(link, 1, grpc(), b"")
    assert logged is not None
    logged.on_data(b"SECRET", 6)
    logged.on_end(())
    served.link.start_response(1, HEAD)
    served.link.send_data(1, b"SECRET 2")
    served.link.acknowledge(1, 6)
    logged.on_drained()
    assert lines == []
    served.link.end_stream(1, Fields((b"grpc-status", b"5"), (b"grpc-message", b"SECRET")))
    logged.on_reset(8)
    assert sink.heard == ["data", "end", "drained", "reset"]
    assert link.calls == ["start_response", "send_data", "acknowledge", "end_stream"]
    assert lines == [
        {
            "event": "call",
            "log_level": "info",
            "client": "10.0.0.1:5000",
            "protocol": "HTTP/2",
            "tls": True,
            "method": "POST",
            "path": "/etcdserverpb.KV/Put",
            "code": "NOT_FOUND",
            "duration_ms": 250.0,
            "received_bytes": 6,
            "sent_bytes": 8,
            "endpoint": "http://10.0.0.2:2379",
        }
    ]


def test_a_request_that_is_answered_at_once(lines: list[Any]) -> None:
    served = Served()
    served.answer = lambda link: link.respond(1, Fields((b":status", b"503")), b"no")
    assert route_of(served, http(b"/health?SECRET=1")).serve(FakeLink(), 1, http(b"/health?SECRET=1"), b"abc") is None
    (line,) = lines
    assert (line["path"], line["status"], line["protocol"]) == ("/health", 503, "HTTP/1.1")
    assert (line["received_bytes"], line["sent_bytes"], line["endpoint"]) == (3, 2, "")
    assert "SECRET" not in str(line)


@pytest.mark.parametrize(
    ("trailers", "code"), [((b"grpc-status", b"0"), "OK"), ((b"grpc-status", b"77"), "77"), ((b"x", b""), "")]
)
def test_codes(lines: list[Any], trailers: tuple[bytes, bytes], code: str) -> None:
    served = Served()
    served.answer = lambda link: link.respond(1, HEAD, b"", Fields(trailers))
    route_of(served, grpc()).serve(FakeLink(), 1, grpc(), b"")
    assert lines[0]["code"] == code


def test_a_parked_call_whose_client_leaves(lines: list[Any]) -> None:
    served = Served()
    sink = route_of(served, grpc()).serve(FakeLink(), 1, grpc(), b"abc")
    assert sink is not None
    sink.on_drained()
    sink.on_reset(8)
    served.link.respond(1, HEAD, b"")
    assert [(line["code"], line["fault"]) for line in lines] == [("", CLIENT_LEFT)]


def test_a_stream_that_is_reset(lines: list[Any]) -> None:
    served = Served(Forwarded())
    route_of(served, grpc()).serve(FakeLink(), 1, grpc(), b"")
    served.link.reset_stream(1, 8)
    assert lines[0]["fault"] == RESET


def test_a_last_piece_that_ends_the_answer(lines: list[Any]) -> None:
    served = Served(Forwarded())
    sink = route_of(served, http(b"/")).serve(FakeLink(), 1, http(b"/"), b"")
    served.link.start_response(1, Fields((b":status", b"200")))
    served.link.send_data(1, b"abc", True)
    assert sink is not None
    assert (lines[0]["status"], lines[0]["sent_bytes"]) == (200, 3)


def test_a_fault_of_ours_has_its_line_too(lines: list[Any]) -> None:
    served = Served()

    def fail(link: Any) -> None:
        raise ZeroDivisionError

    served.answer = fail
    with pytest.raises(ZeroDivisionError):
        route_of(served, grpc()).serve(FakeLink(), 1, grpc(), b"")
    assert lines[0]["fault"] == FAULT


def test_a_body_that_is_too_long(lines: list[Any]) -> None:
    route_of(Served(), http(b"/")).refuse_body(FakeLink(), 1, http(b"/"), b"start")
    assert (lines[0]["status"], lines[0]["received_bytes"]) == (413, 5)


def test_a_path_is_printable_and_short(lines: list[Any]) -> None:
    served = Served()
    served.answer = lambda link: link.respond(1, HEAD, b"")
    head = http(b"/\x1b[31m\xff\n" + b"a" * 10_000)
    route_of(served, head).serve(FakeLink(), 1, head, b"")
    path = lines[0]["path"]
    assert path.startswith("/\\x1b[31m\\xff\\naaa")
    assert path.isprintable()
    assert len(path) < 300


@pytest.mark.interop
def test_the_log_of_a_proxy(tmp_path: Path, etcd: Server) -> None:
    log = tmp_path / "log"
    flags = ("--access-log", f"--log-outputs={log}", "--proxy=readonly")

    def lines_of(path: str) -> list[Any]:
        found = map(json.loads, log.read_text().splitlines())
        return [line for line in found if line["msg"] == "call" and line["path"] == path]

    with start_proxy(tmp_path, etcd.url, flags=flags) as proxy:
        with Client(proxy.target) as client:
            client.Range(key=b"SECRET")
            with pytest.raises(grpcio.RpcError):
                client.Put(key=b"SECRET", value=b"SECRET")
            feed = client.watch(iter(()))
            eventually(lambda: lines_of("/etcdserverpb.KV/Put"), "the line of the put")
            feed.cancel()
        httpx.post(f"{proxy.url}/v3/kv/range?SECRET", json={"key": "U0VDUkVU"}, headers={"cookie": "SECRET"})
        httpx.get(f"{proxy.url}/proxy/health")
        eventually(lambda: lines_of("/proxy/health"), "the line of the page")

        (read,) = lines_of("/etcdserverpb.KV/Range")
        assert (read["code"], read["protocol"], read["endpoint"]) == ("OK", "HTTP/2", etcd.url)
        assert read["sent_bytes"] > 0
        assert read["received_bytes"] > len("SECRET")
        assert 0 < read["duration_ms"] < 10_000
        assert read["client"].startswith("127.0.0.1:")
        (write,) = lines_of("/etcdserverpb.KV/Put")
        assert (write["code"], write["endpoint"]) == ("PERMISSION_DENIED", "")
        (json_read,) = lines_of("/v3/kv/range")
        assert (json_read["status"], json_read["protocol"], json_read["endpoint"]) == (200, "HTTP/1.1", etcd.url)
        assert lines_of("/proxy/health")[0]["status"] == 200
    assert "SECRET" not in log.read_text()
    assert "U0VDUkVU" not in log.read_text()


@pytest.mark.interop
def test_no_line_without_the_option(tmp_path: Path, etcd: Server) -> None:
    log = tmp_path / "log"
    with start_proxy(tmp_path, etcd.url, flags=(f"--log-outputs={log}",)) as proxy:
        assert httpx.get(f"{proxy.url}/version").status_code == 200
    assert '"call"' not in log.read_text()
