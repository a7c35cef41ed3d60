"""Decides: streaming gRPC methods: messages in frames, the outcome in trailers."""

from __future__ import annotations

from dualmode.errors import RpcError
from dualmode.http.interface import STREAMED, RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.rpc import framing
from dualmode.rpc.calls import Kind
from dualmode.rpc.framing import Unframer
from dualmode.rpc.metadata import CallMetadata, metadata_of
from dualmode.rpc.status import HEAD, OK_ONLY, error_only, error_trailers
from dualmode.rpc.stream import StreamBase
from dualmode.rpc.table import Entry


class GrpcStream(StreamBase):
    """`rpc.calls.ServerStream` over gRPC."""

    __slots__ = ("_has_started",)

    def __init__(self, entry: Entry, link: Link, stream_id: int, metadata: CallMetadata) -> None:
        splitter = Unframer(metadata.encoding, entry.shared.receive_limit_bytes)
        super().__init__(entry, link, stream_id, metadata, splitter)
        self._has_started = False

    def _send_message(self, message: bytes) -> None:
        if not self._has_started:
            self._has_started = True
            self.link.start_response(self.stream_id, HEAD)
        self.link.send_data(self.stream_id, framing.frame(message))

    def send_frames(self, data: bytes, count: int) -> None:
        """See calls.ServerStream. They leave as they are."""
        if not self.is_open:
            return
        if not self._has_started:
            self._has_started = True
            self.link.start_response(self.stream_id, HEAD)
        self.entry.counters.sent_many(count, len(data) - framing.PREFIX_BYTES * count)
        self.link.send_data(self.stream_id, data)

    def _send_end(self, error: RpcError | None) -> None:
        if self._has_started:
            self.link.end_stream(self.stream_id, error_trailers(error))
        else:
            self.link.respond(self.stream_id, OK_ONLY if error is None else error_only(error), b"")


class GrpcStreamRoute:
    """The Route of one streaming method. A request of one message is gathered as a whole by the connection."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        takes_one = entry.method.kind is Kind.SERVER_STREAM
        self.body_limit = entry.shared.receive_limit_bytes + framing.PREFIX_BYTES if takes_one else STREAMED

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        stream = GrpcStream(self.entry, link, stream_id, metadata_of(head))
        if self.body_limit != STREAMED:
            stream.inbox.feed(body, 0)
            stream.inbox.end()
        return stream.start()

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        error = framing.refusal_of_size(start, self.entry.shared.receive_limit_bytes)
        GrpcStream(self.entry, link, stream_id, metadata_of(head)).end(error)
