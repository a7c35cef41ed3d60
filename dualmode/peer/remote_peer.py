"""Does: one other member: the two streams we read from it, the two it reads from us, and posts where there are none.

Who wants to receive dials. So we GET both of its streams and read them; what we have to say goes out on the streams
that it has asked of us, and by POST (the "pipeline") while it has not. Nothing here waits to send: what a peer does not
take in time is dropped and reported, since Raft sends again what matters.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final, Protocol

import httpx
import trio

from dualmode import limits, log
from dualmode.edge.tls import ClientTls
from dualmode.errors import PeerError
from dualmode.http.routing import Link
from dualmode.metrics import Histogram, exponential_buckets
from dualmode.peer.append_stream import AppendDecoder, AppendEncoder, EntryBlocks
from dualmode.peer.codec import encode_message
from dualmode.peer.dial import OpenedStream, opened_stream
from dualmode.peer.identity_headers import CLUSTER_MISMATCH, request_fields
from dualmode.peer.interface import PeerIdentity, RaftReceiver
from dualmode.peer.message_stream import MessageDecoder, MessageEncoder
from dualmode.raft import Message, MessageType
from dualmode.urls import Url, parse_url

_log = log.get("rafthttp")

#: Kind of stream -> its place in the path.
MESSAGE: Final = "message"
APPEND: Final = "msgapp"
_APPEND_MESSAGE: Final = MessageType.APPEND


class Decoder(Protocol):
    """Of one stream that we read."""

    def feed(self, data: bytes) -> list[Message]: ...


class Attached:
    """A stream that the peer reads from us: its GET, which we answer without end."""

    __slots__ = ("encoder", "link", "stream_id")

    def __init__(self, link: Link, stream_id: int, kind: str, blocks: EntryBlocks) -> None:
        self.link = link
        self.stream_id = stream_id
        self.encoder: AppendEncoder | MessageEncoder = AppendEncoder(blocks) if kind == APPEND else MessageEncoder()

    def send(self, messages: list[Message]) -> int:
        """The bytes that were sent; 0 when the peer has too much to read already."""
        if self.link.unsent_bytes(self.stream_id) > limits.PEER_UNSENT_BYTES:
            return 0
        encode = self.encoder.encode
        data = b"".join([encode(message) for message in messages])
        self.link.send_data(self.stream_id, data)
        return len(data)

    def beat(self) -> None:
        """Says that somebody is there."""
        if not self.link.unsent_bytes(self.stream_id):
            self.link.send_data(self.stream_id, self.encoder.heartbeat)

    def close(self) -> None:
        """Ends it, for a newer one or because the peer is no member any more."""
        self.link.end_stream(self.stream_id)


class PeerCounters:
    """Plain integers for the metrics etcd_network_peer_*."""

    __slots__ = (
        "disconnects",
        "received_bytes",
        "round_trip_seconds",
        "send_failures",
        "sent_bytes",
        "snapshots_failed",
        "snapshots_received",
        "snapshots_sent",
    )

    def __init__(self) -> None:
        self.sent_bytes = self.received_bytes = self.send_failures = self.disconnects = 0
        self.snapshots_sent = self.snapshots_failed = self.snapshots_received = 0
        self.round_trip_seconds = Histogram(exponential_buckets(0.0001, 2, 16))


class RemotePeer:
    """One other member, or (`is_remote`) somebody who speaks to us and may become one: that is only posted to."""

    def __init__(
        self,
        member_id: int,
        peer_urls: tuple[str, ...],
        identity: PeerIdentity,
        receiver: RaftReceiver,
        tls: ClientTls | None,
        client: Callable[[], httpx.AsyncClient],
        start_task: Callable[..., object],
        *,
        is_remote: bool = False,
        read_seconds: float = limits.PEER_READ_SECONDS,
    ) -> None:
        self.member_id = member_id
        self.peer_urls = peer_urls
        self.is_remote = is_remote
        self.counters = PeerCounters()
        self._scope = trio.CancelScope()
        #: Since when a stream from this peer is read; None while none is.
        self.active_since: float | None = None
        self._identity = identity
        self._receiver = receiver
        self._tls = tls
        self._client = client
        self._start_task = start_task
        self._read_seconds = read_seconds
        self._attached: dict[str, Attached] = {}
        self._reading = 0
        self._posts = 0
        self._complained_at = -limits.PEER_COMPLAINT_SECONDS

    # --- Sending ---------------------------------------------------------------------------------------------

    def attach(self, kind: str, attached: Attached) -> None:
        """The peer has asked for a stream; a newer one takes the place of an older one."""
        former = self._attached.pop(kind, None)
        if former is not None:
            former.close()
        self._attached[kind] = attached

    def detach(self, kind: str, attached: Attached) -> None:
        """A stream is over."""
        if self._attached.get(kind) is attached:
            del self._attached[kind]

    def beat(self) -> None:
        """Says on all streams that somebody is there."""
        for attached in self._attached.values():
            attached.beat()

    def send(self, messages: list[Message]) -> None:
        """Sends by the way that each kind of message takes (etcd `peer.pick`)."""
        streams = self._attached
        general = streams.get(MESSAGE)
        appends = streams.get(APPEND) or general
        if general is appends:
            self._send_on(general, messages)
            return
        rest = [message for message in messages if message.type is not _APPEND_MESSAGE]
        if len(rest) < len(messages):
            self._send_on(appends, [message for message in messages if message.type is _APPEND_MESSAGE])
        if rest:
            self._send_on(general, rest)

    def _send_on(self, attached: Attached | None, messages: list[Message]) -> None:
        if attached is None:
            for message in messages:
                self._post(message)
        elif sent := attached.send(messages):
            self.counters.sent_bytes += sent
        else:
            self._failed()

    def _failed(self) -> None:
        self.counters.send_failures += 1
        self._receiver.report_unreachable(self.member_id)

    def _post(self, message: Message) -> None:
        if self._posts >= limits.PEER_POSTS:
            self._failed()
            return
        self._posts += 1
        self._start_task(self._run_post, message)

    async def _run_post(self, message: Message) -> None:
        try:
            await self._post_to_any(encode_message(message))
        except (httpx.HTTPError, OSError, PeerError, ValueError) as error:
            self.complain(f"cannot send to it: {str(error) or type(error).__name__}")
            self._failed()
        finally:
            self._posts -= 1

    async def _post_to_any(self, body: bytes) -> None:
        """To the first address that takes it. Where it may have arrived no other is tried: a forwarded proposal that is
        taken twice is done twice."""
        fields = dict(request_fields(self._identity)) | {"Content-Type": "application/protobuf"}
        fault: Exception = PeerError("it has no peer URLs")
        for url in self.peer_urls:
            try:
                answer = await self._client().post(f"{url}/raft", content=body, headers=fields)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                fault = error
                continue
            if answer.status_code == 204:
                self.counters.sent_bytes += len(body)
                return
            self.look_at_refusal(answer.status_code, answer.text)
            fault = PeerError(f"{answer.status_code} {answer.text.strip()[:200]}")
        raise fault

    def look_at_refusal(self, status: int, text: str) -> None:
        """An answer that may say that we are no member any more."""
        if status == 410 or (status == 403 and "removed member" in text):
            self._receiver.on_removed()

    # --- Receiving -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reads both streams of a peer until it is removed."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_for_ever, MESSAGE)
                nursery.start_soon(self._read_for_ever, APPEND)

    async def _read_for_ever(self, kind: str) -> None:
        for turn in count():
            urls = self.peer_urls
            if urls:
                try:
                    await self._read_once(kind, parse_url(urls[turn % len(urls)]))
                except (PeerError, OSError, trio.TooSlowError, trio.ClosedResourceError, ValueError) as error:
                    self.complain(f"the {kind} stream is lost: {str(error) or type(error).__name__}")
            await trio.sleep(limits.PEER_REDIAL_SECONDS)

    async def _read_once(self, kind: str, target: Url) -> None:
        path = f"/raft/stream/{kind}/{self._identity.member_id:x}"
        fields = request_fields(self._identity, self.member_id)
        async with opened_stream(target, self._tls, path, fields, self._start_task, self._read_seconds) as stream:
            if stream.status != 200:
                await self._refused(stream)
                return
            decoder: Decoder = (
                AppendDecoder(self._identity.member_id, self.member_id) if kind == APPEND else MessageDecoder()
            )
            self._began()
            try:
                await self._read(stream, decoder)
            finally:
                self._ended()

    async def _refused(self, stream: OpenedStream) -> None:
        text = (await stream.read_all()).decode("latin-1").strip()
        self.look_at_refusal(stream.status, text)
        if stream.status == 412 and CLUSTER_MISMATCH in text:
            self.complain("it is of another cluster")
        elif stream.status != 404:  # it does not know us yet
            self.complain(f"it refuses us: {stream.status} {text[:200]}")

    async def _read(self, stream: OpenedStream, decoder: Decoder) -> None:
        receive, counters = self._receiver.receive, self.counters
        with trio.fail_after(self._read_seconds) as silence:
            while data := await stream.read():
                # Moving a deadline costs something: not for every message, so it lies a little late.
                now = trio.current_time()
                if silence.deadline - now < self._read_seconds:
                    silence.deadline = now + self._read_seconds + limits.PEER_READ_SLACK_SECONDS
                counters.received_bytes += len(data)
                for message in decoder.feed(data):
                    receive(message)

    def _began(self) -> None:
        self._reading += 1
        if self._reading == 1:
            self.active_since = trio.current_time()
            _log.info("peer became active", peer_id=f"{self.member_id:x}")

    def _ended(self) -> None:
        self._reading -= 1
        if not self._reading:
            self.active_since = None
            self.counters.disconnects += 1
            _log.warning("peer became inactive", peer_id=f"{self.member_id:x}")

    def complain(self, text: str) -> None:
        """Into the log, now and then."""
        now = trio.current_time()
        if now - self._complained_at >= limits.PEER_COMPLAINT_SECONDS:
            self._complained_at = now
            _log.warning("trouble with a peer", peer_id=f"{self.member_id:x}", urls=list(self.peer_urls), error=text)

    def close(self) -> None:
        """It is no member any more: its tasks and streams end."""
        self._scope.cancel()
        for attached in self._attached.values():
            attached.close()
        self._attached.clear()
