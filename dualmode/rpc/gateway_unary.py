"""Decides: unary methods over JSON."""

from __future__ import annotations

from typing import cast

from dualmode import limits
from dualmode.errors import RpcError
from dualmode.http.interface import RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.rpc.calls import UnaryHandler
from dualmode.rpc.faults import status_of
from dualmode.rpc.gateway_answers import METHOD_NOT_ALLOWED, OK_HEAD, as_json, refusal_of_size, refuse
from dualmode.rpc.gateway_request import json_metadata, serialised
from dualmode.rpc.table import Entry
from dualmode.rpc.unary import UnaryBase


class JsonCall(UnaryBase):
    """`rpc.calls.UnaryCall` over JSON."""

    __slots__ = ()

    def reply(self, message: bytes) -> None:
        """See calls.Reply."""
        if self.is_over:
            return
        try:
            text = as_json(self.entry.method.response, message)
        except RpcError as error:
            self.fail(error)
            return
        self.end()
        self.entry.counters.ok += 1
        self.entry.counters.sent_bytes += len(message)
        self.link.respond(self.stream_id, OK_HEAD, text.encode())

    def _send_error(self, error: RpcError) -> None:
        refuse(self.link, self.stream_id, error)


class JsonUnaryRoute:
    """The Route of one unary method's paths."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.body_limit = entry.shared.receive_limit_bytes * limits.JSON_SIZE_FACTOR
        self._handler = cast(UnaryHandler, entry.method.handler)

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if head.method != b"POST":
            refuse(link, stream_id, METHOD_NOT_ALLOWED)
            return None
        entry = self.entry
        metadata = json_metadata(head)
        entry.counters.started += 1
        call = JsonCall(entry, link, stream_id, metadata)
        try:
            if metadata.refusal is not None:
                raise metadata.refusal
            message = serialised(entry.method.request, body, entry.shared.receive_limit_bytes)
            entry.counters.received_bytes += len(message)
            entry.shared.before_call(metadata, entry.method)
            self._handler(call, message)
        except Exception as fault:
            call.fail(status_of(fault, entry.method.path.decode()))
        return call.park()

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        refuse(link, stream_id, refusal_of_size(head, self.body_limit))
