"""Decides: which streams end when the cluster has lost its leader: those opened with `hasleader: true` (etcd's monitor
of `v3rpc/interceptor.go`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dualmode import errors, limits
from dualmode.rpc.calls import ServerStream


class LeaderStreams:
    """Streams that a client wants to hear no more of when there is no leader. Services hold theirs here."""

    __slots__ = ("_looks_without", "_streams")

    def __init__(self) -> None:
        self._streams: dict[ServerStream, None] = {}
        self._looks_without = 0

    @contextmanager
    def holding(self, stream: ServerStream) -> Iterator[None]:
        """While the stream is served."""
        if stream.metadata.has_leader:
            self._streams[stream] = None
        try:
            yield
        finally:
            self._streams.pop(stream, None)

    def look(self, has_leader: bool) -> None:
        """To be called once in every election timeout."""
        self._looks_without = 0 if has_leader else self._looks_without + 1
        if self._looks_without >= limits.LOOKS_WITHOUT_LEADER:
            self.leader_lost()

    def leader_lost(self) -> None:
        """No leader has been seen for three election timeouts: these streams end with "no leader"."""
        streams, self._streams = self._streams, {}
        for stream in streams:
            stream.end(errors.NO_LEADER)
