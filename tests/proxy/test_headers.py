"""Headers on their way through the proxy."""

import pytest

from dualmode.http.interface import Pairs, RequestHead
from dualmode.http.routing import PeerIdentity
from dualmode.proxy.headers import (
    end_to_end,
    grpc_request,
    grpc_response,
    grpc_trailers,
    http_request,
    http_response,
    metadata,
)
from dualmode.proxy.reads import READS, http_may_send_again, may_send_again


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ((), ()),
        (((b"a", b"1"), (b"b", b"2"), (b"a", b"3")), ((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))),
        (((b"connection", b"close"), (b"a", b"1")), ((b"a", b"1"),)),
        (
            ((b"connection", b"close, X-Secret,,Other"), (b"x-secret", b"1"), (b"other", b""), (b"b", b"2")),
            ((b"b", b"2"),),
        ),
        (((b"te", b"trailers"), (b"upgrade", b"websocket"), (b"keep-alive", b"1")), ()),
        (((b"transfer-encoding", b"chunked"), (b"trailer", b"x"), (b"proxy-authorization", b"y")), ()),
    ],
)
def test_fields_of_the_connection_stay_here(fields: Pairs, kept: Pairs) -> None:
    assert end_to_end(fields) == kept


def head(fields: Pairs = (), method: bytes = b"POST", version: bytes = b"2") -> RequestHead:
    return RequestHead(method, b"http", b"proxy:2379", b"/p?q=1", fields, version)


def test_a_grpc_call_goes_on_as_it_came() -> None:
    fields = (
        (b"content-type", b"application/grpc+proto"),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"5S"),
        (b"token", b"t.1"),
        (b"token", b"t.2"),
        (b"blob-bin", b"AAEC"),
    )
    assert grpc_request(head(fields), b"https").pairs == (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/p?q=1"),
        (b":authority", b"proxy:2379"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc+proto"),
        (b"grpc-timeout", b"5S"),
        (b"token", b"t.1"),
        (b"token", b"t.2"),
        (b"blob-bin", b"AAEC"),
    )


def test_answers_of_the_same_shape_are_one_object() -> None:
    fields = ((b"content-type", b"application/grpc"), (b"connection", b"x"))
    assert grpc_response(200, fields) is grpc_response(200, tuple(fields))
    assert grpc_response(200, fields).pairs == ((b":status", b"200"), (b"content-type", b"application/grpc"))
    trailers = grpc_trailers(((b"grpc-status", b"0"), (b"grpc-message", b"")))
    assert trailers is not None
    assert trailers.pairs == ((b"grpc-status", b"0"), (b"grpc-message", b""))
    assert grpc_trailers(()) is None


@pytest.mark.parametrize(
    ("address", "is_tls", "sent", "expected"),
    [
        ("10.1.1.1:999", False, (), {b"for": b"10.1.1.1", b"host": b"proxy:2379", b"proto": b"http"}),
        ("[::1]:999", True, (), {b"for": b"::1", b"host": b"proxy:2379", b"proto": b"https"}),
        ("@", False, (), {b"for": b"unknown", b"host": b"proxy:2379", b"proto": b"http"}),
        (
            "10.1.1.1:9",
            False,
            ((b"for", b"1.2.3.4"), (b"host", b"first"), (b"proto", b"https")),
            {b"for": b"1.2.3.4, 10.1.1.1", b"host": b"first", b"proto": b"https"},
        ),
    ],
)
def test_plain_requests_say_whom_they_are_for(
    address: str, is_tls: bool, sent: Pairs, expected: dict[bytes, bytes]
) -> None:
    fields = tuple((b"x-forwarded-" + name, value) for name, value in sent)
    more = ((b"host", b"proxy:2379"), (b"expect", b"100-continue"), (b"authorization", b"t"), (b"connection", b"close"))
    made = http_request(head(fields + more), PeerIdentity(address, is_tls))
    assert made[0] == (b"authorization", b"t")
    assert dict(made[1:]) == {b"x-forwarded-" + name: value for name, value in expected.items()}


def test_plain_answers_leave_cors_to_the_proxy() -> None:
    fields = ((b"content-type", b"a"), (b"access-control-allow-origin", b"*"), (b"transfer-encoding", b"chunked"))
    assert http_response(404, fields).pairs == ((b":status", b"404"), (b"content-type", b"a"))


def test_only_reads_are_sent_again_when_nobody_knows() -> None:
    for path in READS:
        assert may_send_again(path, may_have_left=True)
    for name in ("KV/Put", "KV/Txn", "KV/DeleteRange", "Lease/LeaseGrant", "Maintenance/Alarm", "Auth/Authenticate"):
        path = f"/etcdserverpb.{name}".encode()
        assert not may_send_again(path, may_have_left=True)
        assert may_send_again(path, may_have_left=False)
    assert not may_send_again(b"/etcdserverpb.Watch/Watch", may_have_left=True)
    assert http_may_send_again(b"GET")
    assert not http_may_send_again(b"POST")


@pytest.mark.parametrize(
    ("fields", "is_gateway", "kept"),
    [
        (((b"token", b"t"), (b"hasleader", b"true"), (b"grpc-timeout", b"1S")), False, (0, 1, 2)),
        (((b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"user-agent", b"x")), False, (2,)),
        (((b"grpc-encoding", b"gzip"), (b"grpc-accept-encoding", b"gzip"), (b"a-bin", b"AA")), False, (2,)),
        (((b"grpcgateway-accept", b"*/*"),), False, (0,)),
        (((b":path", b"/etcdserverpb.KV/Put"), (b"", b"x"), (b"host", b"h"), (b"authorization", b"t")), True, (3,)),
    ],
)
def test_metadata_of_a_call_made_anew(fields: Pairs, is_gateway: bool, kept: tuple[int, ...]) -> None:
    expected = tuple(fields[number] for number in kept)
    if is_gateway:
        expected += ((b"grpcgateway-accept", b"*/*"),)
    assert metadata(fields, is_gateway) == expected


def test_a_gateway_marks_its_calls_once() -> None:
    mark = (b"grpcgateway-accept", b"text/html")
    assert metadata((mark,), is_gateway=True) == (mark,)
