"""Every message that a client and a member exchange, found in the descriptors: no field with a key is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb, v3electionpb
from dualmode.api.descriptors import POOL
from dualmode.errors import RpcError
from dualmode.proxy.namespace.key_space import OUTSIDE, KeySpace
from dualmode.proxy.namespace.rewriting import REFUSED, REWRITTEN, WITHOUT_KEYS
from dualmode.rpc.json_paths import JSON_PATHS

FILES: Final = (
    "etcdserverpb/rpc.proto",
    "v3electionpb/v3election.proto",
    "v3lockpb/v3lock.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
)
METHODS: Final[dict[str, Any]] = {
    f"{service.full_name}/{method.name}": method
    for file in FILES
    for service in POOL.FindFileByName(file).services_by_name.values()
    for method in service.methods
}
#: Fields of bytes that are none. One that is new has to be looked at, and put here or into the table.
NO_KEYS: Final = {
    "etcdserverpb.Compare.value",
    "etcdserverpb.PutRequest.value",
    "mvccpb.KeyValue.value",
    "etcdserverpb.SnapshotResponse.blob",
    "v3electionpb.CampaignRequest.value",
    "v3electionpb.ProclaimRequest.value",
    "grpc.reflection.v1.FileDescriptorResponse.file_descriptor_proto",
    "grpc.reflection.v1alpha.FileDescriptorResponse.file_descriptor_proto",
}
PREFIX: Final = b"<ns>"
SPACE: Final = KeySpace(PREFIX)
#: Deep enough for a transaction in a transaction.
DEPTH: Final = 6

Path = tuple[str, ...]


def bytes_fields(descriptor: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The way to each field of bytes in a message, and the field's full name."""
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_BYTES:
            yield (*path, field.name), field.full_name
        elif field.message_type is not None and len(path) < DEPTH:
            yield from bytes_fields(field.message_type, (*path, field.name))


def key_paths(descriptor: Any) -> list[Path]:
    return [path for path, name in bytes_fields(descriptor) if name not in NO_KEYS]


def place(message: Any, path: Path, value: bytes) -> Any:
    """Sets the field at the end of a path, making what is on the way. Its `key` is set too: an end alone is nothing."""
    *way, last = path
    for name in way:
        part = getattr(message, name)
        message = part.add() if message.DESCRIPTOR.fields_by_name[name].is_repeated else part
        message.SetInParent()
    fields = message.DESCRIPTOR.fields_by_name
    if "key" in fields and not fields["key"].is_repeated:
        message.key = value
    if "name" in fields and fields["name"].type == FieldDescriptor.TYPE_BYTES:
        message.name = value
    if fields[last].is_repeated:
        getattr(message, last).append(value)
    else:
        setattr(message, last, value)


def at(message: Any, path: Path) -> bytes:
    """What stands there."""
    for name in path:
        message = getattr(message, name)
        if not isinstance(message, bytes) and hasattr(message, "append"):
            (message,) = message
    assert isinstance(message, bytes)
    return message


def test_each_method_is_in_one_place() -> None:
    places = [set(REWRITTEN), set(WITHOUT_KEYS), set(REFUSED)]
    assert set().union(*places) == set(METHODS)
    assert sum(map(len, places)) == len(METHODS)
    assert set(JSON_PATHS) <= set(METHODS)


@pytest.mark.parametrize("name", sorted(WITHOUT_KEYS))
def test_what_is_forwarded_as_it_is_has_no_keys(name: str) -> None:
    method = METHODS[name]
    assert key_paths(method.input_type) + key_paths(method.output_type) == []


@pytest.mark.parametrize("name", sorted(REWRITTEN))
def test_what_is_rewritten_has_keys(name: str) -> None:
    method = METHODS[name]
    assert key_paths(method.input_type) + key_paths(method.output_type)


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in sorted(REWRITTEN) for path in key_paths(METHODS[name].input_type)],
)
def test_a_key_in_a_request_gets_the_prefix(name: str, path: Path) -> None:
    request = GetMessageClass(METHODS[name].input_type)()
    place(request, path, b"k")
    REWRITTEN[name].request(SPACE, request)
    assert at(request, path) == PREFIX + b"k"


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in sorted(REWRITTEN) for path in key_paths(METHODS[name].output_type)],
)
def test_a_key_in_an_answer_loses_the_prefix(name: str, path: Path) -> None:
    answer = GetMessageClass(METHODS[name].output_type)()
    place(answer, path, PREFIX + b"k")
    REWRITTEN[name].response(SPACE, answer)
    assert at(answer, path) == b"k"


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in sorted(REWRITTEN) for path in key_paths(METHODS[name].output_type)],
)
def test_a_key_outside_in_an_answer_is_left_out_or_refused(name: str, path: Path) -> None:
    answer = GetMessageClass(METHODS[name].output_type)()
    place(answer, path, b"foreign")
    if name in ("etcdserverpb.Lease/LeaseTimeToLive", "etcdserverpb.Auth/RoleGet"):
        REWRITTEN[name].response(SPACE, answer)
        assert b"foreign" not in answer.SerializeToString()
        return
    with pytest.raises(RpcError) as refused:
        REWRITTEN[name].response(SPACE, answer)
    assert refused.value == OUTSIDE


INTERVALS: Final = [
    ((b"a", b""), (b"<ns>a", b"")),
    ((b"a", b"c"), (b"<ns>a", b"<ns>c")),
    ((b"a", b"\0"), (b"<ns>a", b"<ns?")),
    ((b"\0", b"\0"), (b"<ns>\0", b"<ns?")),
    ((b"a", b"\0\0"), (b"<ns>a", b"<ns>\0\0")),
    ((b"", b"\0"), (b"<ns>", b"<ns?")),
    ((b"", b""), (b"", b"")),
    ((b"", b"c"), (b"", b"")),
]


@pytest.mark.parametrize(("inside", "at_member"), INTERVALS)
@pytest.mark.parametrize("method", ["Range", "DeleteRange"])
def test_intervals_of_keys(method: str, inside: tuple[bytes, bytes], at_member: tuple[bytes, bytes]) -> None:
    request = getattr(pb, f"{method}Request")(key=inside[0], range_end=inside[1])
    REWRITTEN[f"etcdserverpb.KV/{method}"].request(SPACE, request)
    assert (request.key, request.range_end) == at_member


@pytest.mark.parametrize(("inside", "at_member"), INTERVALS)
def test_intervals_in_transactions(inside: tuple[bytes, bytes], at_member: tuple[bytes, bytes]) -> None:
    key, range_end = inside
    nested = pb.TxnRequest(
        compare=[pb.Compare(key=key, range_end=range_end)],
        failure=[
            pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key, range_end=range_end)),
            pb.RequestOp(),
        ],
    )
    request = pb.TxnRequest(success=[pb.RequestOp(request_txn=nested)])
    REWRITTEN["etcdserverpb.KV/Txn"].request(SPACE, request)
    rewritten = request.success[0].request_txn
    for part in (rewritten.compare[0], rewritten.failure[0].request_delete_range):
        assert (part.key, part.range_end) == at_member


@pytest.mark.parametrize(
    ("inside", "at_member"),
    [
        *(pair for pair in INTERVALS if pair[0][0]),
        ((b"", b"\0"), (b"<ns>", b"<ns?")),
        ((b"", b""), (b"<ns>\0", b"")),
        ((b"", b"c"), (b"<ns>\0", b"<ns>c")),
    ],
)
def test_intervals_of_watches(inside: tuple[bytes, bytes], at_member: tuple[bytes, bytes]) -> None:
    """An empty key is the first one, as with etcd."""
    create = pb.WatchCreateRequest(key=inside[0], range_end=inside[1])
    request = pb.WatchRequest(create_request=create)
    REWRITTEN["etcdserverpb.Watch/Watch"].request(SPACE, request)
    assert (request.create_request.key, request.create_request.range_end) == at_member


def test_other_watch_requests_stay() -> None:
    request = pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=7))
    REWRITTEN["etcdserverpb.Watch/Watch"].request(SPACE, request)
    assert request == pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=7))


def test_what_is_not_there_is_not_made() -> None:
    """A message that is not set says something."""
    for name, request in (
        ("etcdserverpb.Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r")),
        ("v3electionpb.Election/Proclaim", v3electionpb.ProclaimRequest(value=b"v")),
        ("v3electionpb.Election/Resign", v3electionpb.ResignRequest()),
    ):
        before = request.SerializeToString()
        REWRITTEN[name].request(SPACE, request)
        assert request.SerializeToString() == before
    for name, answer in (
        ("etcdserverpb.KV/Put", pb.PutResponse()),
        ("v3electionpb.Election/Leader", v3electionpb.LeaderResponse()),
        ("v3electionpb.Election/Campaign", v3electionpb.CampaignResponse()),
        ("etcdserverpb.Watch/Watch", pb.WatchResponse(events=[mvccpb.Event(kv=mvccpb.KeyValue(key=b"<ns>a"))])),
    ):
        REWRITTEN[name].response(SPACE, answer)
        assert not answer.ListFields() or not answer.events[0].HasField("prev_kv")


def test_a_permission_on_no_key_is_refused() -> None:
    request = pb.AuthRoleGrantPermissionRequest(name="r", perm={"key": b"", "range_end": b"c"})
    with pytest.raises(RpcError, match="invalid auth management"):
        REWRITTEN["etcdserverpb.Auth/RoleGrantPermission"].request(SPACE, request)


def test_a_role_shows_the_permissions_within() -> None:
    given = [
        (b"<ns>a", b""),
        (b"<ns>a", b"<ns>c"),
        (b"<ns>", b"<ns?"),
        (b"<ns>a", b"<ns?"),
        (b"", b"\0"),
        (b"\0", b"\0"),
        (b"<ns>a", b"\0"),
        (b"<ns>a", b"<ns@"),
        (b"<ns", b""),
        (b"<ns", b"<ns?"),
        (b"<ns>", b"<ns>\0"),
        (b"<ns>a", b"<ns>"),
        (b"z", b""),
    ]
    answer = pb.AuthRoleGetResponse(perm=[{"key": key, "range_end": end, "permType": 2} for key, end in given])
    REWRITTEN["etcdserverpb.Auth/RoleGet"].response(SPACE, answer)
    assert [(one.key, one.range_end) for one in answer.perm] == [
        (b"a", b""),
        (b"a", b"c"),
        (b"", b"\0"),
        (b"a", b"\0"),
    ]
    assert all(one.permType == 2 for one in answer.perm)


def test_a_lease_shows_the_keys_within() -> None:
    answer = pb.LeaseTimeToLiveResponse(ID=1, TTL=2, keys=[b"a", b"<ns>b", b"<ns", b"<ns>"])
    REWRITTEN["etcdserverpb.Lease/LeaseTimeToLive"].response(SPACE, answer)
    assert answer == pb.LeaseTimeToLiveResponse(ID=1, TTL=2, keys=[b"b", b""])
