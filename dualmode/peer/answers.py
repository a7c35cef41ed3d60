"""Does: the answers that the routes of the peer listener have in common, in the words of Go's net/http."""

from __future__ import annotations

from typing import Final

from dualmode.http.interface import Fields, Pairs, RequestHead
from dualmode.http.routing import Link
from dualmode.peer.identity_headers import answer_fields, refusal_of, sender_of
from dualmode.peer.transport import PeerTransport

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
#: What a removed member is told, with 403.
REMOVED_BODY: Final = b'{"message":"cannot process message from removed member"}'


def answer(link: Link, stream_id: int, status: int, body: bytes, content_type: str = TEXT, more: Pairs = ()) -> None:
    """A whole answer."""
    fields = ((b":status", b"%d" % status), (b"content-type", content_type.encode()), *more)
    link.respond(stream_id, Fields(*fields), body)


def error(link: Link, stream_id: int, status: int, text: str, more: Pairs = ()) -> None:
    """As Go's http.Error."""
    answer(link, stream_id, status, text.encode() + b"\n", TEXT, ((b"x-content-type-options", b"nosniff"), *more))


def check_sender(transport: PeerTransport, link: Link, stream_id: int, head: RequestHead) -> bool:
    """The checks of posts, in etcd's order; False when the request was answered. A sender that we have not heard of is
    remembered, so that it can be answered."""
    more = answer_fields(transport.identity)
    if head.method != b"POST":
        error(link, stream_id, 405, "Method Not Allowed", ((b"allow", b"POST"), *more))
        return False
    refusal = refusal_of(head, transport.identity)
    if refusal is not None:
        error(link, stream_id, 412, refusal, more)
        return False
    sender, urls = sender_of(head)
    if sender and urls and not transport.receiver.is_removed(sender):
        transport.add_remote(sender, urls)
    return True
