"""Health, reflection, and calls from within the process."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from google.protobuf import descriptor_pb2

from dualmode import errors
from dualmode.api import healthpb, reflectionpb, reflectionpb_v1alpha
from dualmode.errors import Code, RpcError
from dualmode.http.routing import Route
from dualmode.rpc.calls import UnaryCall
from dualmode.rpc.framing import frame
from dualmode.rpc.grpc_route import grpc_routes
from dualmode.rpc.health import HealthService
from dualmode.rpc.local import AwaitableReply, call_unary
from dualmode.rpc.metadata import CallMetadata
from dualmode.rpc.reflection import ReflectionService
from dualmode.rpc.table import MethodTable
from tests.rpc.fake_link import FakeLink, grpc_head, present

settle = trio.testing.wait_all_tasks_blocked
Status = healthpb.HealthCheckResponse


def health_route(service: HealthService, name: bytes) -> Route:
    return grpc_routes(MethodTable(service.methods()))[b"/grpc.health.v1.Health/" + name]


def ask(service: str) -> bytes:
    return frame(healthpb.HealthCheckRequest(service=service).SerializeToString())


def statuses(link: FakeLink, stream_id: int = 1) -> list[int]:
    return [Status.FromString(message).status for message in link.answer(stream_id).messages]


def test_health_of_the_server() -> None:
    service = HealthService()
    link = FakeLink()
    route = health_route(service, b"Check")
    route.serve(link, 1, grpc_head(b""), ask(""))
    service.set_serving(False)
    route.serve(link, 3, grpc_head(b""), ask(""))
    route.serve(link, 5, grpc_head(b""), ask("etcdserverpb.KV"))
    assert statuses(link, 1) == [Status.SERVING]
    assert statuses(link, 3) == [Status.NOT_SERVING]
    assert link.answer(5).grpc_status == (Code.NOT_FOUND, "unknown service")


async def test_health_is_watched(nursery: trio.Nursery) -> None:
    service = HealthService()
    link = FakeLink(nursery)
    route = health_route(service, b"Watch")
    sink = present(route.serve(link, 1, grpc_head(b""), ask("")))
    route.serve(link, 3, grpc_head(b""), ask("other"))
    await settle()
    for is_serving in (True, False, False, True):
        service.set_serving(is_serving)
    assert statuses(link) == [Status.SERVING, Status.NOT_SERVING, Status.SERVING]
    assert statuses(link, 3) == [Status.SERVICE_UNKNOWN]
    assert not link.answer().is_ended
    sink.on_reset(8)
    await settle()
    service.set_serving(False)
    assert len(statuses(link)) == 3
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("package", "name"), [(reflectionpb, b"grpc.reflection.v1"), (reflectionpb_v1alpha, b"grpc.reflection.v1alpha")]
)
async def test_reflection(nursery: trio.Nursery, package: Any, name: bytes) -> None:
    link = FakeLink(nursery)
    path = b"/" + name + b".ServerReflection/ServerReflectionInfo"
    service = ReflectionService(["etcdserverpb.KV"])
    sink = present(grpc_routes(MethodTable(service.methods()))[path].serve(link, 1, grpc_head(path), b""))

    async def question(**content: Any) -> Any:
        request = package.ServerReflectionRequest(host="h", **content)
        sink.on_data(frame(request.SerializeToString()), 0)
        await settle()
        response = package.ServerReflectionResponse.FromString(link.answer().messages[-1])
        assert (response.valid_host, response.original_request) == ("h", request)
        return response

    services = (await question(list_services="")).list_services_response.service
    assert [entry.name for entry in services] == [
        "etcdserverpb.KV",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    for asked in (
        {"file_containing_symbol": "etcdserverpb.KV"},
        {"file_containing_symbol": "etcdserverpb.KV.Range"},
        {"file_containing_symbol": "etcdserverpb.RangeRequest"},
        {"file_by_filename": "etcdserverpb/rpc.proto"},
    ):
        files = (await question(**asked)).file_descriptor_response.file_descriptor_proto
        names = [descriptor_pb2.FileDescriptorProto.FromString(file).name for file in files]
        assert names == ["authpb/auth.proto", "mvccpb/kv.proto", "etcdserverpb/rpc.proto"]
    numbers = (await question(all_extension_numbers_of_type="mvccpb.Event")).all_extension_numbers_response
    assert (numbers.base_type_name, list(numbers.extension_number)) == ("mvccpb.Event", [])
    for missing in (
        {"file_containing_symbol": "no.Such"},
        {"file_containing_symbol": "etcdserverpb.KV.none"},
        {"file_by_filename": "no.proto"},
        {"all_extension_numbers_of_type": "no.Such"},
        {"file_containing_extension": {"containing_type": "no.Such", "extension_number": 1}},
    ):
        error = (await question(**missing)).error_response
        assert error.error_code == Code.NOT_FOUND
        assert "no" in error.error_message
    assert (await question()).error_response.error_code == Code.INVALID_ARGUMENT
    sink.on_end(())


async def test_a_reply_is_awaited() -> None:
    for outcome in (b"fine", errors.STOPPED):
        reply = AwaitableReply()
        assert not reply.is_over
        if isinstance(outcome, bytes):
            reply.reply(outcome)
            assert await reply.result() == outcome
        else:
            reply.fail(outcome)
            with pytest.raises(RpcError, match="server stopped"):
                await reply.result()
        assert reply.is_over


async def test_handlers_may_be_called_from_within() -> None:
    async def later(call: UnaryCall, message: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if message == b"raise":
            raise errors.NO_LEADER
        if message != b"forget":
            call.reply(message + (call.metadata.token or "").encode())

    def handler(call: UnaryCall, message: bytes) -> None:
        call.on_gone(lambda: None)
        assert call.peer.address == "local"
        call.spawn(later, call, message)

    assert await call_unary(handler, b"one") == b"one"
    assert await call_unary(handler, b"two", CallMetadata(((b"token", b"!"),))) == b"two!"
    with pytest.raises(RpcError, match="no leader"):
        await call_unary(handler, b"raise")
    with pytest.raises(RpcError, match="gave no answer"):
        await call_unary(handler, b"forget")
