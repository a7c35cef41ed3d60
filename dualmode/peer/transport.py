"""Does: the way to all other members: who they are, and everything that goes to them and comes from them.

The replica hands in what Raft wants sent (`send` never waits) and hears what peers say through its `RaftReceiver`; the
member says who the peers are. `run` owns all tasks.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import trio

from dualmode import limits, log
from dualmode.edge.tls import ClientTls
from dualmode.errors import PeerError
from dualmode.peer.append_stream import EntryBlocks
from dualmode.peer.codec import encode_message
from dualmode.peer.identity_headers import request_fields
from dualmode.peer.interface import PeerIdentity, RaftReceiver, SnapshotSource
from dualmode.peer.remote_peer import RemotePeer
from dualmode.raft import Message

_log = log.get("rafthttp")


class PeerTransport:
    """All peers of one member. `stream_tls` is for the streams, `call_tls` makes the context of plain calls."""

    def __init__(
        self,
        identity: PeerIdentity,
        receiver: RaftReceiver,
        *,
        snapshot_dir: Path,
        stream_tls: ClientTls | None = None,
        call_tls: ClientTls | None = None,
        read_seconds: float = limits.PEER_READ_SECONDS,
        write_seconds: float = limits.PEER_READ_SECONDS,
    ) -> None:
        """Peers may be silent for `read_seconds`, and take so long as `write_seconds` to take something posted."""
        self.identity = identity
        self.receiver = receiver
        self.snapshot_dir = snapshot_dir
        self.peers: dict[int, RemotePeer] = {}
        #: Of the streams of appends to all of them.
        self.entry_blocks = EntryBlocks()
        self._stream_tls = stream_tls
        self._call_tls = call_tls
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._nursery: trio.Nursery | None = None
        self._waiting: list[Callable[[], None]] = []
        self._http: httpx.AsyncClient | None = None
        self._http_context: ssl.SSLContext | None = None

    # --- Who they are ----------------------------------------------------------------------------------------

    def add_peer(self, member_id: int, peer_urls: Sequence[str]) -> None:
        """A member. Known already: it gets these URLs."""
        known = self.peers.get(member_id)
        if known is not None and not known.is_remote:
            known.peer_urls = tuple(peer_urls)
            return
        if member_id == self.identity.member_id:
            return
        if known is not None:
            self.remove_peer(member_id)
        peer = self._make(member_id, peer_urls, is_remote=False)
        self.start_soon(peer.run)

    def add_remote(self, member_id: int, peer_urls: Sequence[str]) -> None:
        """Somebody who speaks to us and may become a member: answers go to it by POST."""
        remotes = sum(peer.is_remote for peer in self.peers.values())
        if member_id in self.peers or member_id == self.identity.member_id or remotes >= limits.PEER_REMOTES:
            return
        self._make(member_id, peer_urls, is_remote=True)

    def _make(self, member_id: int, peer_urls: Sequence[str], is_remote: bool) -> RemotePeer:
        peer = RemotePeer(
            member_id,
            tuple(peer_urls),
            self.identity,
            self.receiver,
            self._stream_tls,
            self._client,
            self.start_soon,
            is_remote=is_remote,
            read_seconds=self._read_seconds,
        )
        self.peers[member_id] = peer
        return peer

    def remove_peer(self, member_id: int) -> None:
        """It is no member any more."""
        peer = self.peers.pop(member_id, None)
        if peer is not None:
            peer.close()

    def set_peers(self, members: Iterable[tuple[int, Sequence[str]]]) -> None:
        """These are all there are."""
        wanted = dict(members)
        for member_id in [one for one in self.peers if one not in wanted and not self.peers[one].is_remote]:
            self.remove_peer(member_id)
        for member_id, urls in wanted.items():
            self.add_peer(member_id, urls)

    def active_since(self, member_id: int) -> float | None:
        """Since when (trio's clock) a peer is connected; None when it is not."""
        peer = self.peers.get(member_id)
        return None if peer is None else peer.active_since

    # --- Sending ---------------------------------------------------------------------------------------------

    def send(self, messages: Sequence[Message]) -> None:
        """Sends what can be sent now. What is for nobody (a member that was removed) is dropped."""
        peers = self.peers
        if len(messages) == 1:
            peer = peers.get(messages[0].to)
            if peer is not None:
                peer.send([messages[0]])
            return
        by_peer: dict[int, list[Message]] = {}
        for message in messages:
            by_peer.setdefault(message.to, []).append(message)
        for member_id, group in by_peer.items():
            peer = peers.get(member_id)
            if peer is not None:
                peer.send(group)

    def send_snapshot(self, message: Message, source: SnapshotSource) -> None:
        """Posts a snapshot; the receiver hears how it ended."""
        self.start_soon(self._send_snapshot, message, source)

    async def _send_snapshot(self, message: Message, source: SnapshotSource) -> None:
        ok = False
        try:
            ok = await self._post_snapshot(message, source)
        except (httpx.HTTPError, OSError, PeerError, ValueError) as error:
            _log.warning("failed to send a snapshot", to=f"{message.to:x}", error=str(error) or type(error).__name__)
        finally:
            source.close()
            peer = self.peers.get(message.to)
            if peer is not None:
                peer.counters.snapshots_sent += ok
                peer.counters.snapshots_failed += not ok
            if not ok:
                self.receiver.report_unreachable(message.to)
            self.receiver.report_snapshot(message.to, ok)

    async def _post_snapshot(self, message: Message, source: SnapshotSource) -> bool:
        peer = self.peers.get(message.to)
        if peer is None or not peer.peer_urls:
            return False
        encoded = encode_message(message)

        async def body() -> AsyncGenerator[bytes, None]:
            yield len(encoded).to_bytes(8, "big") + encoded
            async with aclosing(source.chunks()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    yield chunk

        fields = dict(request_fields(self.identity)) | {"Content-Type": "application/octet-stream"}
        timeout = httpx.Timeout(self._write_seconds, read=limits.PEER_SNAPSHOT_ANSWER_SECONDS)
        url = f"{peer.peer_urls[0]}/raft/snapshot"
        async with aclosing(body()) as content:
            answer = await self._client().post(url, content=content, headers=fields, timeout=timeout)
        if answer.status_code == 204:
            _log.info("sent database snapshot", to=f"{message.to:x}")
            return True
        peer.look_at_refusal(answer.status_code, answer.text)
        raise PeerError(f"{answer.status_code} {answer.text.strip()[:200]}")

    # --- Tasks -----------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                for start in self._waiting:
                    start()
                self._waiting.clear()
                self._nursery.start_soon(self._beat)
                self._nursery.start_soon(self._probe)
                task_status.started()
        finally:
            self._nursery = None
            if self._http is not None:
                with trio.CancelScope(shield=True):
                    await self._http.aclose()

    def start_soon(self, function: Callable[..., Any], *args: Any) -> None:
        """Starts a task that lives no longer than the transport."""
        nursery = self._nursery
        if nursery is None:
            self._waiting.append(lambda: self.start_soon(function, *args))
        else:
            nursery.start_soon(function, *args)

    async def _beat(self) -> None:
        while True:
            await trio.sleep(limits.PEER_HEARTBEAT_SECONDS)
            for peer in self.peers.values():
                peer.beat()

    async def _probe(self) -> None:
        """How long the way to a peer takes there and back."""
        while True:
            await trio.sleep(limits.PEER_PROBE_SECONDS)
            async with trio.open_nursery() as nursery:
                for peer in list(self.peers.values()):
                    if peer.peer_urls and peer.active_since is not None:
                        nursery.start_soon(self._probe_one, peer)

    async def _probe_one(self, peer: RemotePeer) -> None:
        began = trio.current_time()
        try:
            await self._client().get(f"{peer.peer_urls[0]}/raft/probing")
        except (httpx.HTTPError, OSError, ValueError):
            return
        peer.counters.round_trip_seconds.observe(trio.current_time() - began)

    def _client(self) -> httpx.AsyncClient:
        """For everything that is not a stream; made anew when certificate files have changed."""
        context = self._call_tls.context(trio.current_time()) if self._call_tls is not None else None
        if self._http is None or context is not self._http_context:
            if self._http is not None:
                self.start_soon(_retire, self._http)
            self._http_context = context
            self._http = httpx.AsyncClient(
                verify=context if context is not None else False,
                timeout=httpx.Timeout(self._read_seconds, write=self._write_seconds, connect=limits.PEER_DIAL_SECONDS),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=limits.PEER_IDLE_CONNECTIONS),
                trust_env=False,
            )
        return self._http


async def _retire(client: httpx.AsyncClient) -> None:
    """What is under way with the certificates of before may end."""
    try:
        await trio.sleep(limits.PEER_SNAPSHOT_ANSWER_SECONDS)
    finally:
        with trio.CancelScope(shield=True):
            await client.aclose()
