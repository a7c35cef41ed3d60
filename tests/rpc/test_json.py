"""JSON of messages: against protobuf's own json_format, and by tables where etcd's gateway decides."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from dualmode.api import authpb, etcdserverpb, mvccpb, v3electionpb
from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code, RpcError
from dualmode.rpc.json_decode import decode
from dualmode.rpc.json_encode import encode

MESSAGES = [
    etcdserverpb.TxnRequest,
    etcdserverpb.TxnResponse,
    etcdserverpb.RangeRequest,
    etcdserverpb.WatchResponse,
    etcdserverpb.LeaseTimeToLiveResponse,
    etcdserverpb.MemberListResponse,
    etcdserverpb.StatusResponse,
    etcdserverpb.HashKVResponse,
    etcdserverpb.AuthRoleGetResponse,
    etcdserverpb.AlarmResponse,
    etcdserverpb.WatchCreateRequest,
    v3electionpb.LeaderResponse,
]

_BY_TYPE = {
    "bytes": st.binary(max_size=6),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    "bool": st.booleans(),
    "int64": st.integers(-(1 << 63), (1 << 63) - 1),
    "uint64": st.integers(0, (1 << 64) - 1),
    "uint32": st.integers(0, (1 << 32) - 1),
}
_TYPE_NAMES = {12: "bytes", 9: "string", 8: "bool", 3: "int64", 4: "uint64", 13: "uint32"}


def contents(descriptor: Any, depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments for a message class: any fields, any values, one of each oneof."""
    fields = {}
    for field in descriptor.fields:
        if field.type == field.TYPE_MESSAGE:
            if depth == 0:
                continue
            value: st.SearchStrategy[Any] = contents(field.message_type, depth - 1)
        elif field.type == field.TYPE_ENUM:
            value = st.sampled_from([*(number.number for number in field.enum_type.values), 77])
        else:
            value = _BY_TYPE[_TYPE_NAMES[field.type]]
        fields[field.name] = st.lists(value, max_size=2) if field.is_repeated else value

    def one_of_each(arguments: dict[str, Any]) -> dict[str, Any]:
        for oneof in descriptor.oneofs:
            for field in [field for field in oneof.fields if field.name in arguments][1:]:
                del arguments[field.name]
        return arguments

    return st.fixed_dictionaries({}, optional=fields).map(one_of_each)


@settings(max_examples=25)
@pytest.mark.parametrize("message_class", MESSAGES, ids=lambda message_class: message_class.DESCRIPTOR.name)
@given(data=st.data())
def test_it_is_what_json_format_says(message_class: Any, data: st.DataObject) -> None:
    message = message_class(**data.draw(contents(message_class.DESCRIPTOR)))
    text = encode(message)
    assert json.loads(text) == json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert decode(message_class, text.encode()) == message
    camel = json_format.MessageToJson(message).encode()
    assert decode(message_class, camel) == message


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            pb.PutResponse(header=pb.ResponseHeader(cluster_id=14443903163313418560, revision=10)),
            '{"header":{"cluster_id":"14443903163313418560","revision":"10"}}',
        ),
        (pb.RangeResponse(), "{}"),
        (pb.RangeResponse(header={}), '{"header":{}}'),
        (pb.HashKVResponse(hash=4294967295, hash_revision=3), '{"hash":4294967295,"hash_revision":"3"}'),
        (pb.LeaseGrantResponse(ID=7, TTL=-1), '{"ID":"7","TTL":"-1"}'),
        (
            pb.Member(clientURLs=['http://a"\\\n\u2028ä'], isLearner=True),
            '{"clientURLs":["http://a\\"\\\\\\n\u2028ä"],"isLearner":true}',
        ),
        (mvccpb.Event(type=1, kv={"key": b"\xff\xfe\xfd"}), '{"type":"DELETE","kv":{"key":"//79"}}'),
        (mvccpb.Event(type=9), '{"type":9}'),
        (pb.RequestOp(request_range={}), '{"request_range":{}}'),
        (pb.Compare(version=0), '{"version":"0"}'),
    ],
)
def test_how_messages_look(message: Any, text: str) -> None:
    assert encode(message) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", pb.RangeRequest()),
        (b" \n", pb.RangeRequest()),
        (b"{}", pb.RangeRequest()),
        (b'\r\n\t {"limit":1} and more', pb.RangeRequest(limit=1)),
        (b'{"key":"//79"}', pb.RangeRequest(key=b"\xff\xfe\xfd")),
        (b'{"key":"__79"}', pb.RangeRequest(key=b"\xff\xfe\xfd")),
        (b'{"key":"YQ"}', pb.RangeRequest(key=b"a")),
        (b'{"key":"YQ=="}', pb.RangeRequest(key=b"a")),
        (b'{"range_end":"YQ=="}', pb.RangeRequest(range_end=b"a")),
        (b'{"rangeEnd":"YQ=="}', pb.RangeRequest(range_end=b"a")),
        (b'{"limit":"5","revision":6}', pb.RangeRequest(limit=5, revision=6)),
        (b'{"limit":1e3,"revision":2.0}', pb.RangeRequest(limit=1000, revision=2)),
        (b'{"limit":"1e3"}', pb.RangeRequest(limit=1000)),
        (b'{"limit":null,"key":null}', pb.RangeRequest()),
        (b'{"nobody":{"knows":[1]},"limit":1}', pb.RangeRequest(limit=1)),
        (b'{"sort_order":"DESCEND","sort_target":3}', pb.RangeRequest(sort_order=2, sort_target=3)),
        (b'{"serializable":true}', pb.RangeRequest(serializable=True)),
    ],
)
def test_what_is_understood(text: bytes, message: Any) -> None:
    assert decode(pb.RangeRequest, text) == message


def test_an_empty_object_is_there() -> None:
    assert decode(pb.WatchRequest, b'{"progress_request":{}}').WhichOneof("request_union") == "progress_request"


@pytest.mark.parametrize(
    ("message_class", "text", "complaint"),
    [
        (pb.RangeRequest, b"{", "unexpected EOF"),
        (pb.RangeRequest, b"\xff", "json: "),
        (pb.RangeRequest, b"[]", "json: an object is expected, not an array"),
        (pb.RangeRequest, b"NaN", "json: NaN is not JSON"),
        (pb.RangeRequest, b'{"limit":' + b"9" * 5000 + b"}", "json: "),
        (pb.RangeRequest, b'{"limit":9223372036854775808}', "limit: the number is not within"),
        (pb.RangeRequest, b'{"limit":1.5}', "limit: a whole number is expected"),
        (pb.RangeRequest, b'{"limit":true}', "limit: a whole number is expected, not true or false"),
        (pb.RangeRequest, b'{"limit":"x"}', "limit: a whole number is expected, not this string"),
        (pb.RangeRequest, b'{"limit":{}}', "limit: a whole number is expected, not an object"),
        (pb.RangeRequest, b'{"limit":1e999}', "limit: a whole number is expected"),
        (pb.RangeRequest, b'{"key":1}', "key: a base64 string is expected, not this number"),
        (pb.RangeRequest, b'{"key":"a"}', "key: illegal base64 data"),
        (pb.RangeRequest, b'{"key":"\xc3\xa4aaa"}', "key: illegal base64 data"),
        (pb.RangeRequest, b'{"key":"YQ==YQ=="}', "key: illegal base64 data"),
        (pb.RangeRequest, b'{"serializable":1}', "serializable: true or false is expected"),
        (pb.RangeRequest, b'{"sort_order":"SIDEWAYS"}', "sort_order: none of NONE, ASCEND, DESCEND"),
        (pb.RangeRequest, b'{"sort_order":3000000000}', "sort_order: the number is not within"),
        (pb.AuthenticateRequest, b'{"name":5}', "name: a string is expected"),
        (pb.AuthenticateRequest, b'{"name":"\\ud800"}', "name: half a surrogate pair"),
        (pb.TxnRequest, b'{"compare":{}}', "compare: an array is expected, not an object"),
        (pb.TxnRequest, b'{"compare":[null]}', "compare: an object is expected, not null"),
        (pb.TxnRequest, b'{"success":[{"request_put":{"key":2}}]}', "success.request_put.key: a base64"),
        (pb.RequestOp, b'{"request_put":{},"request_range":{}}', "request has been given already"),
        (pb.RangeRequest, b'{"range_end":"","rangeEnd":""}', "range_end has been given already"),
        (pb.RangeRequest, b'{"x":' + b"[" * 100_000, "json: nested too deeply"),
    ],
)
def test_what_is_refused(message_class: Any, text: bytes, complaint: str) -> None:
    with pytest.raises(RpcError) as caught:
        decode(message_class, text)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert complaint in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "text", [b"{", b'{"key', b'{"key"', b'{"key":', b'{"key":"YQ==', b'{"key":"YQ=="', b'{"key":"YQ==",', b" {"]
)
def test_what_stops_in_the_middle_is_refused_as_etcd_does(text: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        decode(pb.PutRequest, text)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, "unexpected EOF")


def test_transactions_in_transactions_have_a_bottom() -> None:
    text = b'{"success":[{"request_txn":' * 300 + b"{}" + b"}]}" * 300
    with pytest.raises(RpcError, match="nested too deeply"):
        decode(pb.TxnRequest, text)


@given(st.binary(max_size=40))
def test_no_bytes_do_more_than_be_refused(text: bytes) -> None:
    with contextlib.suppress(RpcError):
        assert isinstance(decode(authpb.Role, text), authpb.Role)
