"""Ends of the peer protocol over loopback sockets: who comes, goes, is a stranger, is of elsewhere, or is removed."""

from __future__ import annotations

import datetime
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from dualmode import limits
from dualmode.edge.self_signed import self_signed_pair
from dualmode.edge.tls import ClientTls, ClientTlsSettings, ServerTls, TlsSettings
from dualmode.errors import DualmodeError, StorageError
from dualmode.peer.remote_peer import APPEND, MESSAGE
from dualmode.raft import ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata
from tests.edge.certificates import Certificates, make
from tests.peer.fakes import End, introduce, speaking

A, B = 0xA, 0xB


async def until(condition: Callable[[], object]) -> None:
    """Lets the others run until something has come true."""
    with trio.fail_after(15):
        while not condition():  # noqa: ASYNC110 - what is waited for is the code under test, it sets no event
            await trio.sleep(0.005)


def heartbeat(sender: int, to: int, commit: int = 0) -> Message:
    return Message(MessageType.HEARTBEAT, to=to, sender=sender, term=1, commit=commit, entries=[])


def append(sender: int, to: int, index: int) -> Message:
    entries = [Entry(EntryType.NORMAL, 1, index + 1, b"x" * 100)]
    return Message(
        MessageType.APPEND, to=to, sender=sender, term=1, log_term=1, index=index, entries=entries, commit=index
    )


def streams(end: End, other: int) -> set[str]:
    """Which streams `other` reads from this end."""
    peer = end.transport.peers.get(other)
    return set() if peer is None else set(peer._attached)


async def connected(a: End, b: End) -> None:
    both = {MESSAGE, APPEND}
    ids = [end.transport.identity.member_id for end in (a, b)]
    await until(lambda: streams(a, ids[1]) == streams(b, ids[0]) == both)


async def check_talk(a: End, b: End) -> None:
    """Everything gets there, in order, on its stream."""
    for sender, receiver in ((a, b), (b, a)):
        own, to = sender.transport.identity.member_id, receiver.transport.identity.member_id
        receiver.heard.messages.clear()
        appends = [append(own, to, index) for index in range(5)]
        sender.transport.send([heartbeat(own, to), *appends])
        await until(lambda receiver=receiver: len(receiver.heard.messages) == 6)
        assert [one for one in receiver.heard.messages if one.type is MessageType.APPEND] == appends
        assert [one.type for one in receiver.heard.messages].count(MessageType.HEARTBEAT) == 1
        assert not sender.heard.unreachable


async def test_two_members_talk(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        await connected(a, b)
        await check_talk(a, b)
        assert a.transport.active_since(B) is not None
        assert a.transport.peers[B].counters.sent_bytes > 500
        assert b.transport.peers[A].counters.received_bytes > 500


async def test_all_kinds_arrive_in_the_order_of_their_stream(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        await connected(a, b)
        beats = [heartbeat(A, B, commit) for commit in range(50)]
        appends = [append(A, B, index) for index in range(50)]
        for pair in zip(beats, appends, strict=True):
            a.transport.send(pair)
        await until(lambda: len(b.heard.messages) == 100)
        assert [one for one in b.heard.messages if one.type is MessageType.HEARTBEAT] == beats
        assert [one for one in b.heard.messages if one.type is MessageType.APPEND] == appends


async def test_what_is_for_nobody_is_dropped(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        await connected(a, b)
        a.transport.send([heartbeat(A, 0), heartbeat(A, 0x99), heartbeat(A, B)])
        await until(lambda: b.heard.messages)
        assert b.heard.messages == [heartbeat(A, B)]
        assert not a.heard.unreachable


async def test_who_knows_nobody_speaks_to_nobody(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a:
        a.transport.send([heartbeat(A, B)])
        a.transport.send([heartbeat(A, B), heartbeat(A, 0xC)])
        a.transport.add_peer(A, ("http://127.0.0.1:1",))
        assert not a.transport.peers


async def test_posts_carry_what_no_stream_is_there_for(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        a.transport.add_peer(B, (b.url,))  # b does not know a: its streams are not asked for
        a.transport.send([heartbeat(A, B)])
        await until(lambda: b.heard.messages)
        assert b.heard.messages == [Message(MessageType.HEARTBEAT, to=B, sender=A, term=1, entries=[])]
        await until(lambda: A in b.transport.peers)
        assert b.transport.peers[A].is_remote
        b.transport.send([heartbeat(B, A)])  # it can be answered
        await until(lambda: a.heard.messages)
        assert streams(b, A) == set(), "no member that b knows of: it gets no streams"
        b.transport.add_peer(A, (a.url,))
        assert not b.transport.peers[A].is_remote
        await connected(a, b)


async def test_posts_go_to_the_next_url_when_one_does_not_answer(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        a.transport.add_peer(B, ("http://127.0.0.1:1", b.url))
        a.transport.send([heartbeat(A, B)])
        await until(lambda: b.heard.messages)


async def test_what_may_have_arrived_is_not_posted_to_another_url(tmp_path: Path) -> None:
    # A forwarded proposal that is taken twice is done twice.
    async def take_and_hang_up(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()

    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b, trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, take_and_hang_up, 0, host="127.0.0.1"))
        a.transport.add_remote(B, [f"http://127.0.0.1:{listener.socket.getsockname()[1]}", b.url])
        a.transport.send([Message(MessageType.PROPOSAL, to=B, sender=A, entries=[Entry(data=b"x")])])
        await until(lambda: a.heard.unreachable or b.heard.messages)
        assert b.heard.messages == []
        nursery.cancel_scope.cancel()


async def test_who_cannot_be_reached_is_reported(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a:
        a.transport.add_peer(B, ("http://127.0.0.1:1",))
        a.transport.send([heartbeat(A, B)])
        await until(lambda: a.heard.unreachable == [B])
        assert a.transport.peers[B].counters.send_failures == 1
        a.transport.add_peer(B, ())
        a.transport.send([heartbeat(A, B)])
        await until(lambda: a.heard.unreachable == [B, B])


async def test_posts_on_their_way_are_bounded(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a:
        a.transport.add_peer(B, ("http://127.0.0.1:1",))
        a.transport.send([heartbeat(A, B)] * (limits.PEER_POSTS + 5))
        assert len(a.heard.unreachable) == 5


async def test_a_peer_that_does_not_read_is_not_written_to_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        await connected(a, b)
        monkeypatch.setattr(limits, "PEER_UNSENT_BYTES", -1)
        a.transport.send([heartbeat(A, B)])
        assert a.heard.unreachable == [B]
        assert a.transport.peers[B].counters.send_failures == 1


async def test_a_peer_dies_and_comes_back_at_its_address(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a:
        async with speaking(B, tmp_path) as b:
            introduce(a, b)
            await connected(a, b)
            address = b.url.removeprefix("http://")
        await until(lambda: a.transport.active_since(B) is None)
        await until(lambda: not streams(a, B))
        assert a.transport.peers[B].counters.disconnects == 1
        a.transport.send([heartbeat(A, B)])
        await until(lambda: a.heard.unreachable)
        a.heard.unreachable.clear()
        async with speaking(B, tmp_path, address=address) as b:
            b.transport.add_peer(A, (a.url,))
            await connected(a, b)
            await check_talk(a, b)


async def test_a_peer_moves(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a:
        async with speaking(B, tmp_path) as b:
            introduce(a, b)
            await connected(a, b)
        async with speaking(B, tmp_path) as b:
            introduce(a, b)
            await connected(a, b)


async def test_members_of_two_clusters_do_not_talk(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path, cluster_id=0xC2) as b:
        introduce(a, b)
        a.transport.send([heartbeat(A, B)])
        await until(lambda: a.heard.unreachable == [B])
        assert not b.heard.messages
        assert not streams(a, B)
        assert a.transport.active_since(B) is None
        assert not a.heard.is_out


@pytest.mark.parametrize("version", ["2.3.0", "nonsense"])
async def test_a_member_of_before_or_of_nothing_known_is_not_listened_to(tmp_path: Path, version: str) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path, version=version) as b:
        introduce(a, b)
        b.transport.send([heartbeat(B, A)])
        await until(lambda: b.heard.unreachable == [A])
        assert not a.heard.messages
        assert not streams(a, B)


async def test_a_removed_member_is_told_so_on_a_stream(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        await connected(a, b)
        a.heard.removed.add(B)
        a.transport.remove_peer(B)
        await until(lambda: b.heard.is_out)
        assert B not in a.transport.peers


async def test_a_removed_member_that_dials_is_told_so(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        a.heard.removed.add(B)
        b.transport.add_peer(A, (a.url,))
        await until(lambda: b.heard.is_out)


async def test_a_removed_member_is_told_so_by_post(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        a.heard.removed.add(B)
        b.transport.add_remote(A, (a.url,))
        b.transport.send([heartbeat(B, A)])
        await until(lambda: b.heard.is_out)
        assert not a.heard.messages
        assert B not in a.transport.peers


async def test_the_membership_decides_who_is_spoken_to(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        await connected(a, b)
        a.transport.add_remote(0xD, ("http://127.0.0.1:1",))
        a.transport.set_peers([(A, (a.url,)), (0xC, ("http://127.0.0.1:1",))])
        assert set(a.transport.peers) == {0xC, 0xD}
        await until(lambda: b.transport.active_since(A) is None)
        a.transport.add_peer(B, ("http://127.0.0.1:1",))
        a.transport.add_peer(B, (b.url,))
        assert a.transport.peers[B].peer_urls == (b.url,)
        a.transport.add_peer(A, (a.url,))
        assert A not in a.transport.peers


async def test_of_three_members_one_may_be_left(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b, speaking(0xC, tmp_path) as c:
        introduce(a, b, c)
        for one, other in ((a, b), (a, c), (b, c)):
            await connected(one, other)
        a.transport.set_peers([(B, [b.url])])
        assert set(a.transport.peers) == {B}
        await until(lambda: c.transport.active_since(A) is None)
        await check_talk(a, b)


async def test_strangers_are_remembered_up_to_a_bound(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a:
        for stranger in range(100, 100 + 2 * limits.PEER_REMOTES):
            a.transport.add_remote(stranger, ("http://127.0.0.1:1",))
        assert len(a.transport.peers) == limits.PEER_REMOTES
        assert a.transport.identity.peer_urls == (a.url,)


# --- Snapshots ------------------------------------------------------------------------------------------------


def snapshot(sender: int, to: int, index: int = 9) -> Message:
    state = Snapshot(b"{}", SnapshotMetadata(ConfState((A, B)), index, 2))
    return Message(MessageType.SNAPSHOT, to=to, sender=sender, term=2, snapshot=state)


class Database:
    """A SnapshotSource of pieces; an exception among them is raised in its place."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.is_closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await trio.lowlevel.checkpoint()
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self) -> None:
        self.is_closed = True


TWENTY = tuple(bytes([number]) * 100_000 for number in range(20))


@pytest.mark.parametrize("pieces", [(), (b"x",), (b"a" * 70_000, b"b" * 300_000, b"c"), TWENTY], ids=len)
async def test_a_snapshot_is_sent(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        source = Database(*pieces)
        a.transport.send_snapshot(snapshot(A, B), source)
        await until(lambda: a.heard.snapshots)
        assert a.heard.snapshots == [(B, True)]
        [(message, content)] = b.heard.received
        assert message.snapshot == snapshot(A, B).snapshot
        assert content == b"".join(pieces)
        assert list(b.snapshot_dir.iterdir()) == []
        assert source.is_closed
        assert a.transport.peers[B].counters.snapshots_sent == 1
        assert b.transport.peers[A].counters.snapshots_received == 1


async def test_a_snapshot_that_is_cut_leaves_nothing_behind(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        source = Database(b"a" * 500_000, OSError("the disk is gone"))
        a.transport.send_snapshot(snapshot(A, B), source)
        await until(lambda: a.heard.snapshots)
        assert a.heard.snapshots == [(B, False)]
        assert a.heard.unreachable == [B]
        assert source.is_closed
        await until(lambda: list(b.snapshot_dir.iterdir()) == [])
        assert not b.heard.received
        a.transport.send_snapshot(snapshot(A, B), Database(b"whole"))  # and the next one gets there
        await until(lambda: b.heard.received)


async def test_a_snapshot_to_somebody_who_dies_meanwhile(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a:
        async with speaking(B, tmp_path) as b:
            introduce(a, b)
            gate = trio.Event()

            class Waiting(Database):
                async def chunks(self) -> AsyncIterator[bytes]:
                    yield b"a" * 100_000
                    await gate.wait()
                    for _ in range(200):
                        yield b"b" * 100_000

            source = Waiting()
            a.transport.send_snapshot(snapshot(A, B), source)
            await until(lambda: list(b.snapshot_dir.iterdir()))
        gate.set()
        await until(lambda: a.heard.snapshots)
        assert a.heard.snapshots == [(B, False)]
        assert source.is_closed
        assert list(b.snapshot_dir.iterdir()) == []
    gc.collect()  # nothing was left to the collector, which would warn


@pytest.mark.parametrize("fault", [StorageError("damaged"), DualmodeError("of no use")])
async def test_a_snapshot_that_cannot_be_used_is_reported(tmp_path: Path, fault: DualmodeError) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        introduce(a, b)
        b.heard.fault = fault
        a.transport.send_snapshot(snapshot(A, B), Database(b"x"))
        await until(lambda: a.heard.snapshots)
        assert a.heard.snapshots == [(B, False)]


@pytest.mark.parametrize("urls", [(), ("http://127.0.0.1:1",)])
async def test_a_snapshot_to_nobody_is_reported_and_its_file_closed(tmp_path: Path, urls: tuple[str, ...]) -> None:
    async with speaking(A, tmp_path) as a:
        if urls:
            a.transport.add_peer(B, urls)
        source = Database(b"x")
        a.transport.send_snapshot(snapshot(A, B), source)
        await until(lambda: a.heard.snapshots)
        assert a.heard.snapshots == [(B, False)]
        assert source.is_closed


async def test_a_snapshot_from_a_removed_member_is_refused(tmp_path: Path) -> None:
    async with speaking(A, tmp_path) as a, speaking(B, tmp_path) as b:
        b.heard.removed.add(A)
        a.transport.add_peer(B, (b.url,))
        a.transport.send_snapshot(snapshot(A, B), Database(b"x"))
        await until(lambda: a.heard.snapshots)
        assert a.heard.snapshots == [(B, False)]
        assert a.heard.is_out
        assert not b.heard.received


# --- TLS ------------------------------------------------------------------------------------------------------


def server_tls(certificates: Certificates, **more: object) -> ServerTls:
    settings = TlsSettings(
        certificates.cert,
        certificates.key,
        trusted_ca_file=certificates.ca,
        client_cert_auth=True,
        **more,  # type: ignore[arg-type]
    )
    return ServerTls(settings, lambda text: None)


def client_tls(certificates: Certificates, with_certificate: bool = True) -> ClientTls:
    pair = (certificates.client_cert, certificates.client_key) if with_certificate else ("", "")
    return ClientTls(ClientTlsSettings(certificates.ca, *pair, protocols=("http/1.1",)))


async def test_members_talk_over_tls_with_client_certificates(tmp_path: Path) -> None:
    certificates = make(tmp_path / "tls")
    server, client = server_tls(certificates), lambda: client_tls(certificates)
    async with (
        speaking(A, tmp_path, server_tls=server, client_tls=client) as a,
        speaking(B, tmp_path, server_tls=server, client_tls=client) as b,
    ):
        introduce(a, b)
        await connected(a, b)
        await check_talk(a, b)
        a.transport.send_snapshot(snapshot(A, B), Database(b"x" * 200_000))
        await until(lambda: a.heard.snapshots)
        assert a.heard.snapshots == [(B, True)]


async def test_who_has_no_client_certificate_is_not_let_in(tmp_path: Path) -> None:
    certificates = make(tmp_path / "tls")
    server = server_tls(certificates)
    async with (
        speaking(A, tmp_path, server_tls=server, client_tls=lambda: client_tls(certificates)) as a,
        speaking(B, tmp_path, server_tls=server, client_tls=lambda: client_tls(certificates, False)) as b,
    ):
        introduce(a, b)
        b.transport.send([heartbeat(B, A)])
        await until(lambda: b.heard.unreachable == [A])
        assert not a.heard.messages
        assert not streams(a, B)


@pytest.mark.parametrize(("name", "gets_in"), [("alice", True), ("bob", False)])
async def test_only_allowed_common_names_are_let_in(tmp_path: Path, name: str, gets_in: bool) -> None:
    certificates = make(tmp_path / "tls")
    server, client = server_tls(certificates, allowed_common_names=(name,)), lambda: client_tls(certificates)
    async with (
        speaking(A, tmp_path, server_tls=server, client_tls=client) as a,
        speaking(B, tmp_path, server_tls=server, client_tls=client) as b,
    ):
        a.transport.add_peer(B, (b.url,))
        a.transport.send([heartbeat(A, B)])
        if gets_in:
            await until(lambda: b.heard.messages)
        else:
            await until(lambda: a.heard.unreachable == [B])
            assert not b.heard.messages


async def test_members_with_self_signed_certificates_talk(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    pair = self_signed_pair(tmp_path / "fixtures", ["127.0.0.1"], now, 1)
    server = ServerTls(TlsSettings(*pair), lambda text: None)

    def client() -> ClientTls:
        return ClientTls(ClientTlsSettings(insecure_skip_verify=True, protocols=("http/1.1",)))

    async with (
        speaking(A, tmp_path, server_tls=server, client_tls=client) as a,
        speaking(B, tmp_path, server_tls=server, client_tls=client) as b,
    ):
        introduce(a, b)
        await connected(a, b)
        await check_talk(a, b)


# --- Rubbish --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff\xfe\x00" * 50,
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 3\r\n\r\nno\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"x" * 200_000,
    ],
)
async def test_whatever_a_peer_answers_it_is_dialled_again(tmp_path: Path, answer: bytes) -> None:
    """Nothing that somebody at a peer's address says ends the transport."""
    dialled = 0

    async def say(stream: trio.SocketStream) -> None:
        nonlocal dialled
        dialled += 1
        async with stream:
            try:
                await stream.receive_some(4096)
                await stream.send_all(answer)
            except trio.BrokenResourceError:
                pass

    async with speaking(A, tmp_path) as a, trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, say, [listener])
        a.transport.add_peer(B, (f"http://127.0.0.1:{listener.socket.getsockname()[1]}",))
        a.transport.send([heartbeat(A, B)])
        await until(lambda: dialled > 4)
        nursery.cancel_scope.cancel()
