"""Does: the methods of a namespaced proxy, for gRPC and JSON: rewrite the request, ask a member, rewrite its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import trio
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from dualmode.api.descriptors import POOL
from dualmode.client.calls import ClientStream
from dualmode.client.status import CallError
from dualmode.errors import Code, RpcError
from dualmode.proxy.message_forward import MessageForward
from dualmode.proxy.namespace import rewriting
from dualmode.proxy.namespace.key_space import KeySpace
from dualmode.proxy.namespace.rewriting import REFUSED, REWRITTEN, WITHOUT_KEYS, Rewrite
from dualmode.rpc.calls import Kind, Method, ServerStream, StreamHandler, UnaryCall, UnaryHandler
from dualmode.rpc.decode import decode

#: A serialised message as it goes on. Raises `RpcError`.
Pass = Callable[[bytes], bytes]
_KINDS: Final = {
    (False, False): Kind.UNARY,
    (False, True): Kind.SERVER_STREAM,
    (True, False): Kind.CLIENT_STREAM,
    (True, True): Kind.BIDI,
}


class NamespaceService:
    """All methods that a namespaced proxy has."""

    def __init__(self, space: KeySpace, forward: MessageForward) -> None:
        self._space = space
        self._forward = forward

    def methods(self) -> Iterator[Method]:
        """What the method table takes."""
        for name in sorted({*REWRITTEN, *WITHOUT_KEYS, *REFUSED}):
            yield self._method(name)

    def _method(self, full_name: str) -> Method:
        service, _, name = full_name.rpartition("/")
        found: Any = POOL.FindServiceByName(service).methods_by_name[name]
        kind = _KINDS[found.client_streaming, found.server_streaming]
        request, response = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
        if full_name in REFUSED:
            return Method(service, name, kind, request, response, _refusing(REFUSED[full_name], kind))
        forwarded = self._forwarded(full_name, request, response)
        handler = forwarded.unary if kind is Kind.UNARY else forwarded.stream
        return Method(service, name, kind, request, response, handler)

    def _forwarded(self, full_name: str, request: Any, response: Any) -> _Forwarded:
        path = f"/{full_name}".encode()
        rule = REWRITTEN.get(full_name)
        if rule is None:
            return _Forwarded(self._forward, path, _as_it_is, _as_it_is)
        inward = _rewriter(self._space, rule.request, lambda data: decode(request, data))
        outward = _rewriter(self._space, rule.response, lambda data: _decode_answer(response, data))
        return _Forwarded(self._forward, path, inward, outward)


@dataclass(frozen=True, slots=True)
class _Forwarded:
    """One method: where it goes, and what becomes of its messages on the way in and out."""

    forward: MessageForward
    path: bytes
    inward: Pass
    outward: Pass

    def unary(self, call: UnaryCall, message: bytes) -> None:
        """A `calls.UnaryHandler`."""
        call.spawn(self._answer, call, self.inward(message))

    async def _answer(self, call: UnaryCall, message: bytes) -> None:
        call.reply(self.outward(await self.forward.unary(self.path, call.metadata, message)))

    async def stream(self, stream: ServerStream) -> None:
        """A `calls.StreamHandler`: until the member has said all, or the client is gone."""
        with await self.forward.stream(self.path, stream.metadata) as member:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_requests, stream, member)
                async for message in member:
                    await stream.send(self.outward(message))
                nursery.cancel_scope.cancel()

    async def _pass_requests(self, stream: ServerStream, member: ClientStream) -> None:
        while (message := await stream.receive()) is not None:
            request = self.inward(message)
            try:
                await member.send(request)
            except CallError:
                return  # who reads the answers hears of it too
        await member.close_send()


class NamespacedWatches:
    """A `watch_service.WatchRewriting`."""

    def __init__(self, space: KeySpace) -> None:
        self._space = space

    def on_create(self, create_request: Any) -> None:
        """See WatchRewriting."""
        rewriting.watch_create(self._space, create_request)

    def on_response(self, response: Any) -> None:
        """See WatchRewriting."""
        rewriting.watch_response(self._space, response)


def _as_it_is(message: bytes) -> bytes:
    return message


def _rewriter(space: KeySpace, rewrite: Rewrite, parse: Callable[[bytes], Any]) -> Pass:
    def rewritten(data: bytes) -> bytes:
        message = parse(data)
        message.DiscardUnknownFields()
        rewrite(space, message)
        return bytes(message.SerializeToString())

    return rewritten


def _decode_answer(message_class: Any, data: bytes) -> Any:
    try:
        return message_class.FromString(data)
    except DecodeError as error:
        raise RpcError(Code.INTERNAL, f"the endpoint sent what is no answer: {error}") from None


def _refusing(error: RpcError, kind: Kind) -> UnaryHandler | StreamHandler:
    def refuse_call(call: UnaryCall, message: bytes) -> None:
        raise error

    async def refuse_stream(stream: ServerStream) -> None:
        raise error

    return refuse_call if kind is Kind.UNARY else refuse_stream
