"""Decides: a unary gRPC method from request to answer. The hot path of the program.

One small object per call, constant head and trailers, no task. An answer that is given while the handler runs leaves
with the read that brought the request; a later one (the entry was applied) finds the call parked with whoever answers.
"""

from __future__ import annotations

from typing import cast

from dualmode.errors import RpcError
from dualmode.http.interface import RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.rpc import framing
from dualmode.rpc.calls import UnaryHandler
from dualmode.rpc.faults import status_of
from dualmode.rpc.metadata import metadata_of
from dualmode.rpc.status import HEAD, OK_TRAILERS, error_only
from dualmode.rpc.table import Entry
from dualmode.rpc.unary import UnaryBase

_PREFIX_BYTES = framing.PREFIX_BYTES


class GrpcCall(UnaryBase):
    """`rpc.calls.UnaryCall` over gRPC."""

    __slots__ = ()

    def reply(self, message: bytes) -> None:
        """See calls.Reply."""
        if self.is_over:
            return
        self.is_over = True
        entry = self.entry
        if self._has_deadline:
            entry.shared.deadlines.forget(self)
        counters = entry.counters
        counters.ok += 1
        counters.sent_bytes += len(message)
        self.link.respond(self.stream_id, HEAD, framing.frame(message), OK_TRAILERS)

    def _send_error(self, error: RpcError) -> None:
        self.link.respond(self.stream_id, error_only(error), b"")


class GrpcUnaryRoute:
    """The Route of one unary method."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.body_limit = entry.shared.receive_limit_bytes + _PREFIX_BYTES
        self._handler = cast(UnaryHandler, entry.method.handler)

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        entry = self.entry
        metadata = head.notes or metadata_of(head)
        counters = entry.counters
        counters.started += 1
        counters.received_bytes += len(body)
        call = GrpcCall(entry, link, stream_id, metadata)
        try:
            if metadata.refusal is not None:
                raise metadata.refusal
            if metadata.encoding is None and body[:1] == b"\0" and int.from_bytes(body[1:5], "big") == len(body) - 5:
                message = body[5:]
            else:
                message = framing.only_message(body, metadata.encoding, entry.shared.receive_limit_bytes)
            entry.shared.before_call(metadata, entry.method)
            self._handler(call, message)
        except Exception as fault:
            call.fail(status_of(fault, entry.method.path.decode()))
        return None if call.is_over else call.park()

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        self.entry.counters.started += 1
        call = GrpcCall(self.entry, link, stream_id, metadata_of(head))
        call.fail(framing.refusal_of_size(start, self.entry.shared.receive_limit_bytes))
