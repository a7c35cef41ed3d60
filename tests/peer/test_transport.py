"""Transports that speak to each other over real sockets: members that come, go, are unknown, removed, of elsewhere."""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from dualmode import limits
from dualmode.peer.member import Member
from dualmode.raft import Entry, Message, MessageType, Snapshot, SnapshotMetadata
from tests.peer.nodes import Node, know_each_other, network, until


def beat(sender: int, to: int, commit: int = 0) -> Message:
    return Message(MessageType.HEARTBEAT, to=to, sender=sender, term=2, commit=commit, entries=[])


def append(sender: int, to: int, index: int) -> Message:
    entries = [Entry(term=2, index=index + 1, data=b"x" * 100)]
    return Message(MessageType.APPEND, to=to, sender=sender, term=2, log_term=2, index=index, entries=entries, commit=1)


async def connected(*nodes: Node) -> None:
    """Both streams are read in all directions."""
    know_each_other(*nodes)
    await until(lambda: all(len(peer._attached) == 2 for node in nodes for peer in node.transport.peers.values()))


class Bytes:
    """A SnapshotSource of some pieces; it fails behind them if told to."""

    def __init__(self, *pieces: bytes, fails: bool = False) -> None:
        self._pieces = pieces
        self._fails = fails
        self.is_closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._fails:
            raise OSError("the disk")

    def close(self) -> None:
        self.is_closed = True


def snapshot(sender: int, to: int, index: int = 7) -> Message:
    described = Snapshot(b"{}", SnapshotMetadata(index=index, term=2))
    return Message(MessageType.SNAPSHOT, to=to, sender=sender, term=2, snapshot=described, entries=[])


async def test_messages_of_all_kinds_arrive_in_the_order_of_their_stream(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        await connected(one, two)
        beats = [beat(1, 2, commit) for commit in range(50)]
        appends = [append(1, 2, index) for index in range(50)]
        for pair in zip(beats, appends, strict=True):
            one.transport.send(pair)
        await until(lambda: len(two.heard.messages) == 100)
        heard = two.heard.messages
        assert [message for message in heard if message.type is MessageType.HEARTBEAT] == beats
        assert [message for message in heard if message.type is MessageType.APPEND] == appends
        assert one.transport.active_since(2) is not None
        assert one.transport.peers[2].counters.sent_bytes > 0
        assert two.transport.peers[1].counters.received_bytes > 0


async def test_without_a_stream_messages_are_posted(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        one.transport.add_remote(2, [two.url])
        one.transport.send([beat(1, 2)])
        await until(lambda: two.heard.messages)
        assert two.heard.messages == [beat(1, 2)]
        # Who posts can be answered, though nobody has said who it is.
        assert two.transport.peers[1].is_remote
        two.transport.send([beat(2, 1)])
        await until(lambda: one.heard.messages)


async def test_what_may_have_arrived_is_not_posted_to_another_address(tmp_path: Path) -> None:
    # A forwarded proposal that is taken twice is done twice.
    async def take_and_hang_up(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()

    async with network(tmp_path) as net, trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, take_and_hang_up, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        one, two = await net.start(1), await net.start(2)
        one.transport.add_remote(2, [f"http://127.0.0.1:{port}", two.url])
        one.transport.send([Message(MessageType.PROPOSAL, to=2, sender=1, entries=[Entry(data=b"x")])])
        await until(lambda: one.heard.unreachable or two.heard.messages)
        assert two.heard.messages == []
        nursery.cancel_scope.cancel()


async def test_an_address_where_nobody_listens_is_passed_over(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        one.transport.add_remote(2, ["http://127.0.0.1:1", two.url])
        one.transport.send([beat(1, 2)])
        await until(lambda: two.heard.messages)


async def test_what_is_for_nobody_is_dropped(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        await connected(one, two)
        one.transport.send([beat(1, 0), beat(1, 99), beat(1, 2)])
        await until(lambda: two.heard.messages)
        assert two.heard.messages == [beat(1, 2)]
        assert not one.heard.unreachable


async def test_a_member_that_dies_is_reported_and_one_that_comes_back_is_found(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        await connected(one, two)
        port = int(two.url.rpartition(":")[2])
        await two.stop()
        await until(lambda: one.transport.active_since(2) is None)
        one.transport.send([beat(1, 2)])
        await until(lambda: one.heard.unreachable)
        assert one.transport.peers[2].counters.disconnects == 1
        again = await net.start(2, port=port)
        again.transport.add_peer(1, [one.url])
        await until(lambda: one.transport.active_since(2) is not None and one.transport.peers[2]._attached)
        one.transport.send([beat(1, 2)])
        await until(lambda: again.heard.messages)


async def test_a_member_that_does_not_read_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEER_UNSENT_BYTES", -1)
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        await connected(one, two)
        one.transport.send([beat(1, 2)])
        assert one.heard.unreachable == [2]
        assert one.transport.peers[2].counters.send_failures == 1


@pytest.mark.parametrize(("cluster_id", "version"), [(0xBAD, "3.6.0"), (0xC1, "2.3.0"), (0xC1, "nonsense")])
async def test_members_of_elsewhere_do_not_hear_each_other(tmp_path: Path, cluster_id: int, version: str) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2, cluster_id, version)
        know_each_other(one, two)
        two.transport.send([beat(2, 1)])
        await until(lambda: two.heard.unreachable)
        assert not one.heard.messages
        assert one.transport.peers[2]._attached == {}


async def test_who_was_removed_is_told_so(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        one.heard.removed.add(2)
        two.transport.add_peer(1, [one.url])
        await until(lambda: two.heard.is_told_to_go)


async def test_a_post_of_one_that_was_removed(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        one.heard.removed.add(2)
        two.transport.add_remote(1, [one.url])
        two.transport.send([beat(2, 1)])
        await until(lambda: two.heard.is_told_to_go)
        assert not one.heard.messages


async def test_peers_follow_the_members(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two, three = await net.start(1), await net.start(2), await net.start(3)
        await connected(one, two, three)
        one.transport.set_peers([(2, [two.url])])
        assert set(one.transport.peers) == {2}
        await until(lambda: three.transport.active_since(1) is None)
        one.transport.add_peer(3, ["http://127.0.0.1:1"])
        one.transport.add_peer(3, [three.url])
        assert one.transport.peers[3].peer_urls == (three.url,)
        one.transport.add_peer(1, [one.url])
        assert 1 not in one.transport.peers


async def test_a_snapshot_arrives_whole(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        await connected(one, two)
        pieces = [bytes([number]) * 100_000 for number in range(20)]
        one.transport.send_snapshot(snapshot(1, 2), Bytes(*pieces))
        await until(lambda: one.heard.snapshots)
        assert one.heard.snapshots == [(2, True)]
        [(message, content)] = two.heard.files
        assert (message, content) == (snapshot(1, 2), b"".join(pieces))
        assert list(two.transport.snapshot_dir.iterdir()) == []
        assert one.transport.peers[2].counters.snapshots_sent == two.transport.peers[1].counters.snapshots_received == 1


async def test_a_snapshot_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        await connected(one, two)
        source = Bytes(b"x" * 1_000_000, fails=True)
        one.transport.send_snapshot(snapshot(1, 2), source)
        await until(lambda: one.heard.snapshots)
        assert one.heard.snapshots == [(2, False)]
        assert one.heard.unreachable == [2]
        assert source.is_closed
        await until(lambda: not list(two.transport.snapshot_dir.iterdir()))
        assert two.heard.files == []


async def test_a_snapshot_that_is_of_no_use(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, two = await net.start(1), await net.start(2)
        await connected(one, two)
        two.heard.refuses_files = True
        one.transport.send_snapshot(snapshot(1, 2), Bytes(b"x"))
        await until(lambda: one.heard.snapshots)
        assert one.heard.snapshots == [(2, False)]


async def test_a_snapshot_for_nobody(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one = await net.start(1)
        one.transport.send_snapshot(snapshot(1, 9), Bytes(b"x"))
        await until(lambda: one.heard.snapshots)
        assert one.heard.snapshots == [(9, False)]


async def test_strangers_are_not_remembered_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PEER_REMOTES", 3)
    async with network(tmp_path) as net:
        one = await net.start(1)
        for stranger in range(10, 20):
            one.transport.add_remote(stranger, ["http://127.0.0.1:1"])
        assert len(one.transport.peers) == 3
        assert Member(1, (one.url,)).peer_urls == one.transport.identity.peer_urls
