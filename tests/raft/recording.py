"""Decides: a logger that remembers, and small builders that the tests of the core share."""

from __future__ import annotations

from typing import Any

from dualmode.raft import (
    Config,
    ConfState,
    Entry,
    HardState,
    MemoryStorage,
    Message,
    RawNode,
    Ready,
    Snapshot,
    SnapshotMetadata,
)


class RecordingLogger:
    """Keeps `LEVEL text` lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, text: str, /) -> None:
        self.lines.append(f"DEBUG {text}")

    def info(self, text: str, /) -> None:
        self.lines.append(f"INFO {text}")

    def warning(self, text: str, /) -> None:
        self.lines.append(f"WARN {text}")

    def error(self, text: str, /) -> None:
        self.lines.append(f"ERROR {text}")

    def fatal(self, text: str, /) -> None:
        self.lines.append(f"FATAL {text}")

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


def entry(index: int, term: int = 1, data: bytes = b"") -> Entry:
    return Entry(index=index, term=term, data=data)


def snapshot_of(voters: tuple[int, ...], index: int = 10, term: int = 1, **parts: Any) -> Snapshot:
    return Snapshot(b"state", SnapshotMetadata(ConfState(voters=voters, **parts), index, term))


class Harness:
    """A core whose storage always works, for tests that speak with one node."""

    def __init__(
        self, voters: tuple[int, ...], *, number: int = 1, hard_state: HardState | None = None, **settings: Any
    ) -> None:
        self.logger = RecordingLogger()
        self.storage = MemoryStorage()
        self.storage.apply_snapshot(snapshot_of(voters))
        self.storage.set_hard_state(hard_state or HardState())
        config = Config(id=number, applied=10, **{"election_ticks": 3, **settings})
        self.node = RawNode(config, self.storage, self.logger, lambda ticks: ticks - 1)
        self.logger.take()

    def persist(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            self.storage.set_hard_state(ready.hard_state)
        if ready.snapshot is not None:
            self.storage.apply_snapshot(ready.snapshot)
        self.storage.append(ready.entries)

    def turn(self) -> Ready:
        """One Ready, persisted, applied and advanced."""
        ready = self.node.ready()
        self.persist(ready)
        self.node.advance(ready)
        return ready

    def settle(self) -> list[Ready]:
        """Readys until there is nothing to do."""
        readys = []
        while self.node.has_ready():
            readys.append(self.turn())
        return readys

    def messages(self) -> list[Message]:
        """What the node says until there is nothing to do."""
        return [message for ready in self.settle() for message in ready.messages]
