"""What is counted of calls: by known methods and codes, and no more of either than there are."""

from __future__ import annotations

from typing import Any

from dualmode.http.interface import Fields, RequestHead
from dualmode.http.routing import PeerIdentity
from dualmode.proxy.call_metrics import CallMetrics
from dualmode.proxy.observed import ObservedMux
from dualmode.status.catalogue import FAMILIES
from dualmode.status.families import render
from tests.proxy.test_access_log import Clock, FakeLink, Served, grpc, http


def ended(metrics: CallMetrics, head: RequestHead, *fields: tuple[bytes, bytes]) -> None:
    served = Served()
    served.answer = lambda link: link.respond(1, Fields(*fields), b"")

    class OneRoute:
        def resolve(self, head: RequestHead, peer: PeerIdentity) -> Any:
            return served

    link: Any = FakeLink()
    ObservedMux(OneRoute(), Clock(), (metrics.note,)).resolve(head, link.peer).serve(link, 1, head, b"")


def page(metrics: CallMetrics) -> str:
    return "".join(render(FAMILIES[name], value()) for name, value in metrics.bindings().items())


def test_calls_are_counted_by_method_and_code() -> None:
    metrics = CallMetrics()
    for status in (b"0", b"0", b"14"):
        ended(metrics, grpc(), (b":status", b"200"), (b"grpc-status", status))
    ended(metrics, http(b"/v3/kv/range?x=1"), (b":status", b"200"))
    text = page(metrics)
    assert 'calls_ended_total{method="/etcdserverpb.KV/Put",code="OK"} 2' in text
    assert 'calls_ended_total{method="/etcdserverpb.KV/Put",code="UNAVAILABLE"} 1' in text
    assert 'calls_ended_total{method="/v3/kv/range",code="200"} 1' in text
    assert 'call_seconds_count{method="/etcdserverpb.KV/Put"} 3' in text


def test_what_clients_make_up_is_one() -> None:
    metrics = CallMetrics()
    for number in range(50):
        ended(metrics, grpc(b"/made.Up/%d" % number), (b":status", b"200"), (b"grpc-status", b"9" * (number + 3)))
    text = page(metrics)
    assert text.count("call_seconds_count") == 1
    assert text.count("calls_ended_total{") <= 20


def test_a_call_without_an_answer() -> None:
    metrics = CallMetrics()
    served = Served()

    class OneRoute:
        def resolve(self, head: RequestHead, peer: PeerIdentity) -> Any:
            return served

    link: Any = FakeLink()
    ObservedMux(OneRoute(), Clock(), (metrics.note,)).resolve(grpc(), link.peer).serve(link, 1, grpc(), b"")
    served.link.reset_stream(1, 8)
    assert 'code="none"} 1' in page(metrics)
