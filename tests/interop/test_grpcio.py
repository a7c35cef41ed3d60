"""grpcio, a gRPC implementation that is neither ours nor Go's, against the tested server and etcd side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from dualmode.api import etcdserverpb, healthpb, reflectionpb, reflectionpb_v1alpha
from tests.interop.conftest import Farm
from tests.interop.grpc_client import Client, RequestFeed, connect, open_channel, start_afresh
from tests.interop.tested import IS_OURS

pytestmark = pytest.mark.interop

ONLY_OURS = pytest.mark.skipif(not IS_OURS, reason="etcd 3.5 does not have it")


@pytest.fixture(params=["plain", "tls", "proxy"])
def clients(request: pytest.FixtureRequest, farm: Farm) -> Iterator[tuple[Client, Client]]:
    """(etcd, the tested server), empty and at one revision. "proxy" is our proxy in front of another etcd."""
    tls = request.param == "tls"
    server = farm.proxy() if request.param == "proxy" else farm.tested(tls=tls)
    with connect(farm.etcd(tls=tls)) as etcd, connect(server) as tested:
        start_afresh(etcd, tested)
        yield etcd, tested


@pytest.fixture
def member(farm: Farm) -> Iterator[Client]:
    """The tested member alone: for what etcd 3.5 does not have."""
    with connect(farm.tested()) as client:
        start_afresh(client)
        yield client


def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and text of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def raw(client: Client, path: str, body: bytes, **options: Any) -> bytes:
    return bytes(client.channel.unary_unary(path)(body, timeout=20.0, **options))


def test_health_service(clients: tuple[Client, Client]) -> None:
    def check(client: Client, service: str) -> Any:
        request = healthpb.HealthCheckRequest(service=service).SerializeToString()
        return healthpb.HealthCheckResponse.FromString(raw(client, "/grpc.health.v1.Health/Check", request)).status

    etcd, tested = clients
    assert check(tested, "") == check(etcd, "") == 1
    expected = status_of(lambda: check(etcd, "nothing"))
    assert status_of(lambda: check(tested, "nothing")) == expected


def test_health_watch_tells_the_state_at_once(clients: tuple[Client, Client]) -> None:
    _, tested = clients
    watch = tested.channel.unary_stream("/grpc.health.v1.Health/Watch")
    call = watch(healthpb.HealthCheckRequest().SerializeToString(), timeout=20.0)
    assert healthpb.HealthCheckResponse.FromString(next(call)).status == 1
    call.cancel()


@ONLY_OURS
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_services(member: Client, version: str) -> None:
    messages = reflectionpb if version == "v1" else reflectionpb_v1alpha
    method = member.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
    requests = [
        messages.ServerReflectionRequest(list_services="*"),
        messages.ServerReflectionRequest(file_containing_symbol="etcdserverpb.KV"),
        messages.ServerReflectionRequest(file_containing_symbol="no.such.thing"),
    ]
    answers = method(iter([it.SerializeToString() for it in requests]), timeout=20.0)
    services, file, nothing = map(messages.ServerReflectionResponse.FromString, answers)
    names = {service.name for service in services.list_services_response.service}
    assert {"etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "grpc.health.v1.Health"} <= names
    assert file.file_descriptor_response.file_descriptor_proto
    assert nothing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize(
    "path", ["/etcdserverpb.KV/Nothing", "/no.such.Service/Method", "/etcdserverpb.KV/range", "/a/b/c"]
)
def test_unknown_methods(clients: tuple[Client, Client], path: str) -> None:
    etcd, tested = clients
    expected = status_of(lambda: raw(etcd, path, b""))
    assert status_of(lambda: raw(tested, path, b"")) == expected


def test_a_malformed_path(clients: tuple[Client, Client]) -> None:
    etcd, tested = clients
    code, text = status_of(lambda: raw(etcd, "/etcdserverpb.KV", b""))
    # Go's grpc says Unimplemented since the release that etcd 3.6 has; in 3.5 (and so through our proxy) it is another.
    wanted = {(code, text), (grpc.StatusCode.UNIMPLEMENTED, text)}
    assert status_of(lambda: raw(tested, "/etcdserverpb.KV", b"")) in wanted


# A field of another wire type is not among them: gogo refuses it, Google's decoders (etcd 3.7, and ours) skip it.
@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05ab"], ids=["tag", "cut"])
def test_malformed_messages(clients: tuple[Client, Client], body: bytes) -> None:
    etcd, tested = clients
    expected, _ = status_of(lambda: raw(etcd, "/etcdserverpb.KV/Range", body))
    code, _ = status_of(lambda: raw(tested, "/etcdserverpb.KV/Range", body))  # the text is each decoder's own
    assert code == expected


# --max-request-bytes is 1.5 MiB; the message around it may be 512 KiB larger before gRPC itself refuses it.
@pytest.mark.parametrize("size", [1_572_000, 1_573_000, 2_097_000, 2_097_200, 5_000_000])
def test_large_messages(clients: tuple[Client, Client], size: int) -> None:
    def put(client: Client) -> Any:
        try:
            return client.Put(key=b"large", value=b"x" * size).header.revision
        except grpc.RpcError as error:
            return error.code(), error.details()

    etcd, tested = clients
    assert put(tested) == put(etcd)


@ONLY_OURS
def test_a_deadline_ends_a_stream(member: Client) -> None:
    """etcd 3.5 ends it too, with code Unknown: its grpc-go did not yet turn the error of a context into a status."""
    feed = RequestFeed()
    feed.send(etcdserverpb.WatchRequest(create_request=etcdserverpb.WatchCreateRequest(key=b"a")))
    call = member.watch(feed, timeout=0.3)
    code, _ = status_of(lambda: list(call))  # "created" is among it, unless the machine was slower than the deadline
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    feed.close()


def test_a_cancelled_watch_leaves_the_connection_working(clients: tuple[Client, Client]) -> None:
    _, tested = clients
    for _ in range(20):
        feed = RequestFeed()
        feed.send(etcdserverpb.WatchRequest(create_request=etcdserverpb.WatchCreateRequest(key=b"a")))
        call = tested.watch(feed, timeout=20.0)
        assert next(call).created
        call.cancel()
        feed.close()
        tested.Put(key=b"a", value=b"1")


def test_hundreds_of_calls_at_once_on_one_connection(clients: tuple[Client, Client]) -> None:
    _, tested = clients
    requests = [etcdserverpb.PutRequest(key=b"k%03d" % number, value=b"v" * number) for number in range(500)]
    futures = [tested.begin("Put", request) for request in requests]
    revisions = [future.result().header.revision for future in futures]
    assert len(set(revisions)) == len(revisions)
    found = tested.Range(key=b"k", range_end=b"l")
    assert found.count == 500
    assert {kv.key: len(kv.value) for kv in found.kvs} == {b"k%03d" % number: number for number in range(500)}
    assert sorted(kv.mod_revision for kv in found.kvs) == sorted(revisions)


def test_many_watch_streams_on_one_connection(clients: tuple[Client, Client]) -> None:
    _, tested = clients
    feeds, calls = [RequestFeed() for _ in range(150)], []
    for number, feed in enumerate(feeds):
        create = etcdserverpb.WatchCreateRequest(key=b"w%03d" % number)
        feed.send(etcdserverpb.WatchRequest(create_request=create))
        calls.append(tested.watch(feed, timeout=20.0))
    assert all(next(call).created for call in calls)
    for number in range(len(feeds)):
        tested.Put(key=b"w%03d" % number, value=b"1")
    for number, call in enumerate(calls):
        (event,) = next(call).events
        assert event.kv.key == b"w%03d" % number
    for feed, call in zip(feeds, calls, strict=True):
        call.cancel()
        feed.close()


def test_a_large_answer_comes_whole(clients: tuple[Client, Client]) -> None:
    """More than every flow-control window at its default size."""
    _, tested = clients
    for number in range(8):
        tested.Put(key=b"big%d" % number, value=bytes([number]) * 1_000_000)
    found = tested.Range(key=b"big", range_end=b"bih")
    assert [kv.value[:1] + kv.value[-1:] for kv in found.kvs] == [bytes([number]) * 2 for number in range(8)]
    assert sum(len(kv.value) for kv in found.kvs) == 8_000_000


def test_metadata_of_etcds_clients_is_taken(clients: tuple[Client, Client]) -> None:
    _, tested = clients
    metadata = (("hasleader", "true"), ("client-api-version", "3.5"), ("x-own", "1"), ("bytes-bin", b"\0\xff"))
    request = etcdserverpb.RangeRequest(key=b"a").SerializeToString()
    assert raw(tested, "/etcdserverpb.KV/Range", request, metadata=metadata)


@ONLY_OURS
def test_compressed_requests_are_taken(member: Client) -> None:
    request = etcdserverpb.PutRequest(key=b"zip", value=b"x" * 10_000).SerializeToString()
    raw(member, "/etcdserverpb.KV/Put", request, compression=grpc.Compression.Gzip)
    assert member.Range(key=b"zip").kvs[0].value == b"x" * 10_000


def test_keep_alive_answers_every_request_in_order(clients: tuple[Client, Client]) -> None:
    for client in clients:
        client.LeaseGrant(ID=5, TTL=500)
        requests = [etcdserverpb.LeaseKeepAliveRequest(ID=lease) for lease in (5, 6, 5)]
        answers = [(it.ID, it.TTL) for it in client.keep_alive(iter(requests), timeout=20.0)]
        assert answers == [(5, 500), (6, 0), (5, 500)]


def test_connections_come_and_go(farm: Farm) -> None:
    """More connections than any pool, one after another and some at once."""
    server = farm.tested()
    request = etcdserverpb.RangeRequest(key=b"a").SerializeToString()
    for _ in range(3):
        channels = [open_channel(server.target) for _ in range(20)]
        calls = [channel.unary_unary("/etcdserverpb.KV/Range").future(request, timeout=10.0) for channel in channels]
        assert all(call.result() for call in calls)
        for channel in channels:
            channel.close()
