"""Decides: streaming methods over JSON."""

from __future__ import annotations

from typing import Any

from dualmode import limits
from dualmode.errors import RpcError
from dualmode.http.interface import STREAMED, RequestHead
from dualmode.http.routing import Link, Sink
from dualmode.rpc.calls import Kind
from dualmode.rpc.gateway_answers import (
    METHOD_NOT_ALLOWED,
    OK_HEAD,
    as_json,
    error_head,
    refusal_of_size,
    refuse,
    stream_error_line,
    stream_line,
)
from dualmode.rpc.gateway_request import json_metadata, serialised
from dualmode.rpc.json_split import JsonSplitter
from dualmode.rpc.metadata import CallMetadata
from dualmode.rpc.stream import StreamBase
from dualmode.rpc.table import Entry


class _MessageSplitter(JsonSplitter):
    """JSON objects of a body as serialised messages."""

    __slots__ = ("_message_class", "_message_limit_bytes")

    def __init__(self, message_class: Any, message_limit_bytes: int) -> None:
        super().__init__(message_limit_bytes * limits.JSON_SIZE_FACTOR)
        self._message_class = message_class
        self._message_limit_bytes = message_limit_bytes

    def take(self) -> bytes | None:
        """See inbox.Splitter."""
        text = super().take()
        return None if text is None else serialised(self._message_class, text, self._message_limit_bytes)


class JsonStream(StreamBase):
    """`rpc.calls.ServerStream` over JSON."""

    __slots__ = ("_has_started",)

    def __init__(self, entry: Entry, link: Link, stream_id: int, metadata: CallMetadata) -> None:
        splitter = _MessageSplitter(entry.method.request, entry.shared.receive_limit_bytes)
        super().__init__(entry, link, stream_id, metadata, splitter)
        self._has_started = False

    def _send_message(self, message: bytes) -> None:
        try:
            line = stream_line(as_json(self.entry.method.response, message))
        except RpcError as error:  # a fault of ours, which whoever pushes to many streams must not feel
            self.end(error)
            return
        if not self._has_started:
            self._has_started = True
            self.link.start_response(self.stream_id, OK_HEAD)
        self.link.send_data(self.stream_id, line)

    def _send_end(self, error: RpcError | None) -> None:
        if self._has_started:
            if error is not None:
                self.link.send_data(self.stream_id, stream_error_line(error))
            self.link.end_stream(self.stream_id)
        elif error is None:
            self.link.respond(self.stream_id, OK_HEAD, b"")
        else:
            self.link.respond(self.stream_id, error_head(error), stream_error_line(error))


class JsonStreamRoute:
    """The Route of one streaming method's paths. Where the request is one message, the body is read as a whole."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._takes_one = entry.method.kind is Kind.SERVER_STREAM
        self.body_limit = entry.shared.receive_limit_bytes * limits.JSON_SIZE_FACTOR if self._takes_one else STREAMED

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        if head.method != b"POST":
            refuse(link, stream_id, METHOD_NOT_ALLOWED)
            return None
        stream = JsonStream(self.entry, link, stream_id, json_metadata(head))
        if self._takes_one:
            stream.inbox.feed(body or b"{}", 0)
            stream.inbox.end()
        return stream.start()

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """See routing.Route."""
        refuse(link, stream_id, refusal_of_size(head, self.body_limit))
