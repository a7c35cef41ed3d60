"""Does: the health service that gRPC's own clients and load balancers ask (grpc.health.v1)."""

from __future__ import annotations

import trio

from dualmode.api import healthpb
from dualmode.errors import Code, RpcError
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall
from dualmode.rpc.decode import decode

_SERVICE = "grpc.health.v1.Health"
_UNKNOWN_SERVICE = RpcError(Code.NOT_FOUND, "unknown service")


class HealthService:
    """Knows one service, "" (the server as a whole), as etcd does."""

    def __init__(self) -> None:
        self._is_serving = True
        self._watchers: set[ServerStream] = set()

    def methods(self) -> list[Method]:
        """What the method table takes."""
        request, response = healthpb.HealthCheckRequest, healthpb.HealthCheckResponse
        return [
            Method(_SERVICE, "Check", Kind.UNARY, request, response, self.check),
            Method(_SERVICE, "Watch", Kind.SERVER_STREAM, request, response, self.watch),
        ]

    def set_serving(self, is_serving: bool) -> None:
        """Whoever watches hears of a change."""
        if is_serving != self._is_serving:
            self._is_serving = is_serving
            for stream in list(self._watchers):
                stream.send_now(self._status(""))

    def _status(self, service: str) -> bytes:
        response = healthpb.HealthCheckResponse
        if service:
            status = response.SERVICE_UNKNOWN
        else:
            status = response.SERVING if self._is_serving else response.NOT_SERVING
        return bytes(response(status=status).SerializeToString())

    def check(self, call: UnaryCall, message: bytes) -> None:
        """Once."""
        service = decode(healthpb.HealthCheckRequest, message).service
        if service:
            raise _UNKNOWN_SERVICE
        call.reply(self._status(service))

    async def watch(self, stream: ServerStream) -> None:
        """Now and at each change, until the client goes. Of an unknown service: that it is, and nothing more."""
        service = decode(healthpb.HealthCheckRequest, await stream.receive() or b"").service
        stream.send_now(self._status(service))
        if not service:
            self._watchers.add(stream)
        try:
            await trio.sleep_forever()  # the task is cancelled when the client goes
        finally:
            self._watchers.discard(stream)
