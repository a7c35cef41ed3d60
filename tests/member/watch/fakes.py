"""A stream and a history for watch tests: the stream can be stalled, the history is a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from dualmode.api import etcdserverpb, mvccpb
from dualmode.errors import RpcError
from dualmode.member.headers import ResponseHeaders
from dualmode.member.watch.hub import WatchHub
from dualmode.rpc.framing import unframed
from dualmode.storage.mvcc.interval import contains, interval


class FakeStream:
    """A ServerStream that keeps what is sent; a stalled one counts it as unsent."""

    def __init__(self) -> None:
        self.metadata: Any = SimpleNamespace(has_leader=False)
        self.peer: Any = None
        self.sent: list[bytes] = []
        self.unsent_bytes = 0
        self.greatest_unsent_bytes = 0
        self.is_stalled = False
        self.is_open = True
        self.ended_with: RpcError | None = None
        self._on_drained: list[Callable[[], None]] = []
        self._on_gone: list[Callable[[], None]] = []

    def send_frames(self, data: bytes, count: int) -> None:
        messages = list(unframed(data))
        assert len(messages) == count
        for message in messages:
            self.send_now(message)

    def send_now(self, message: bytes) -> None:
        self.sent.append(message)
        if self.is_stalled:
            self.unsent_bytes += len(message)
            self.greatest_unsent_bytes = max(self.greatest_unsent_bytes, self.unsent_bytes)

    async def send(self, message: bytes) -> None:
        self.send_now(message)

    def answer_at_once(self, answer: Callable[[list[bytes]], int]) -> None:
        """Nothing is offered: all is received."""

    async def receive(self) -> bytes | None:
        raise NotImplementedError

    def on_drained(self, callback: Callable[[], None]) -> None:
        self._on_drained.append(callback)

    def on_gone(self, callback: Callable[[], None]) -> None:
        self._on_gone.append(callback)

    def end(self, error: RpcError | None = None) -> None:
        self.ended_with = error

    def drain(self) -> None:
        self.is_stalled = False
        self.unsent_bytes = 0
        for callback in self._on_drained:
            callback()

    def go(self) -> None:
        self.is_open = False
        for callback in self._on_gone:
            callback()

    def take(self) -> list[Any]:
        """What was sent since the last call, decoded."""
        sent, self.sent = self.sent, []
        return [etcdserverpb.WatchResponse.FromString(message) for message in sent]


class FakeChange:
    def __init__(self, key: bytes, kv: bytes, is_delete: bool, previous: bytes | None) -> None:
        self.key, self.kv, self.is_delete, self.previous = key, kv, is_delete, previous


class FakeCommit:
    def __init__(self, revision: int, changes: list[FakeChange]) -> None:
        self.revision, self.changes = revision, changes


class FakeHistory:
    """All commits since revision 2, and the state they make."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = -1
        self.commits: list[FakeCommit] = []
        self._state: dict[bytes, bytes] = {}
        self.reads = 0

    def write(self, *operations: tuple[bytes, bytes | None]) -> FakeCommit | None:
        """Puts, or deletes where the value is None, at one revision; None when nothing was there to delete."""
        changes = []
        revision = self.revision + 1
        for key, value in operations:
            previous = self._state.get(key)
            if value is None and previous is None:
                continue
            kv = mvccpb.KeyValue(key=key, mod_revision=revision)
            if value is None:
                del self._state[key]
            else:
                before = mvccpb.KeyValue.FromString(previous or b"")
                kv.create_revision = before.create_revision or revision
                kv.version = before.version + 1
                kv.value = value
                self._state[key] = kv.SerializeToString()
            changes.append(FakeChange(key, kv.SerializeToString(), value is None, previous))
        if not changes:
            return None
        self.revision = revision
        self.commits.append(FakeCommit(revision, changes))
        return self.commits[-1]

    def changes(self, low_revision: int, high_revision: int, key: bytes, range_end: bytes) -> Iterator[FakeCommit]:
        assert low_revision >= self.compacted, "the store refuses to read what is compacted"
        low, high = interval(key, range_end)
        for commit in self.commits[max(0, low_revision - 2) : max(0, high_revision - 1)]:
            self.reads += 1
            found = [
                FakeChange(one.key, one.kv, one.is_delete, None)
                for one in commit.changes
                if contains(low, high, one.key)
            ]
            if found:
                yield FakeCommit(commit.revision, found)

    def select(self, key: bytes, range_end: bytes, revision: int) -> list[bytes]:
        assert not range_end
        assert 0 < revision >= self.compacted, "the store refuses to read what is compacted"
        found: list[bytes] = []
        for commit in self.commits[: revision - 1]:
            for change in commit.changes:
                if change.key == key:
                    found = [] if change.is_delete else [change.kv]
        return found


class Scene:
    """A hub over a fake history, and its clock."""

    def __init__(self, **options: Any) -> None:
        self.history = FakeHistory()
        headers = ResponseHeaders(0xC0FFEE, 0xBEEF)
        headers.term = 7
        self.hub = WatchHub(self.history, headers.field, interval_seconds=lambda: 600.0, **options)
        self.wakes = 0
        self.hub.wake = self._wake

    def _wake(self) -> None:
        self.wakes += 1

    def put(self, key: bytes, value: bytes = b"v") -> None:
        self.write((key, value))

    def delete(self, key: bytes) -> None:
        self.write((key, None))

    def write(self, *operations: tuple[bytes, bytes | None]) -> None:
        commit = self.history.write(*operations)
        self.hub.publish([commit] if commit else [])

    def open(self) -> tuple[FakeStream, Any]:
        """A stream, and what the hub knows it as."""
        fake = FakeStream()
        stream = self.hub.open_stream(fake)
        fake.on_drained(lambda: self.hub.drained(stream))
        return fake, stream

    def create(self, stream: Any, now: float = 0.0, **fields: Any) -> None:
        self.hub.create(stream, etcdserverpb.WatchCreateRequest(**fields), now)

    def catch_up(self) -> int:
        """Slices until nothing is to do; gives their number."""
        slices = 0
        while self.hub.has_catching_up:
            self.hub.catch_up()
            slices += 1
            assert slices < 100_000, "catching up does not end"
        return slices
