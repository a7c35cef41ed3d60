"""Decides: which answers to serializable reads are kept, for how long, and what ends them.

A serializable read may be answered by any member from what it has, so an old answer is a right one; the cache bounds
how old. An answer is kept with a watch on its range, which begins behind the revision that the answer is of: the first
event, or the end of the watch, ends it. So what is served is never older than what that watch has heard. It ends by
its age as well, since what a user may read can change without an event.

What was used longest ago goes first when there is too much.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from dualmode import limits
from dualmode.api import etcdserverpb

#: Who asks: answers are kept for each by themselves.
Identity = Hashable


class Kept:
    """One answer."""

    __slots__ = ("answer", "expires_at", "key", "watch_id")

    def __init__(self, key: tuple[Identity, bytes], answer: bytes, watch_id: int, expires_at: float) -> None:
        self.key = key
        #: The RangeResponse, framed.
        self.answer = answer
        self.watch_id = watch_id
        self.expires_at = expires_at

    @property
    def size_bytes(self) -> int:
        return len(self.answer) + len(self.key[1])


class RangeCache:
    """The kept answers. `on_drop` hears of each that ends, so that its watch may end."""

    def __init__(self, size_limit_bytes: int, on_drop: Callable[[Kept], None]) -> None:
        self._size_limit_bytes = size_limit_bytes
        self._on_drop = on_drop
        self._kept: OrderedDict[tuple[Identity, bytes], Kept] = OrderedDict()
        self._by_watch: dict[tuple[Identity, int], Kept] = {}
        self._next_watch_id = 1
        self.size_bytes = 0
        #: Plain counts for the metrics.
        self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, identity: Identity, request: bytes, now: float) -> bytes | None:
        """The answer to this request, if there is one."""
        key = identity, request
        kept = self._kept.get(key)
        if kept is not None and now >= kept.expires_at:
            self._drop(kept)
            kept = None
        if kept is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return kept.answer

    def put(self, identity: Identity, request: bytes, answer: bytes, now: float, keep_seconds: float) -> Kept | None:
        """Keeps an answer; the caller makes the watch of the number in it. None when it is not worth it."""
        key = identity, request
        kept = Kept(key, answer, self._next_watch_id, now + keep_seconds)
        if kept.size_bytes > min(self._size_limit_bytes, limits.PROXY_CACHED_ANSWER_BYTES):
            return None
        self._next_watch_id += 1
        before = self._kept.get(key)
        if before is not None:
            self._drop(before)
        self._kept[key] = self._by_watch[identity, kept.watch_id] = kept
        self.size_bytes += kept.size_bytes
        while self.size_bytes > self._size_limit_bytes or len(self._kept) > limits.PROXY_CACHED_ANSWERS:
            self._drop(next(iter(self._kept.values())))
        return kept

    def end(self, identity: Identity, watch_id: int) -> None:
        """The watch of an answer has heard something, or is over."""
        kept = self._by_watch.get((identity, watch_id))
        if kept is not None:
            self._drop(kept)

    def end_all(self, identity: Identity) -> None:
        """Nothing is heard for this identity any more."""
        for kept in [kept for key, kept in self._kept.items() if key[0] == identity]:
            self._drop(kept)

    def _drop(self, kept: Kept) -> None:
        del self._kept[kept.key]
        del self._by_watch[kept.key[0], kept.watch_id]
        self.size_bytes -= kept.size_bytes
        self._on_drop(kept)


def is_cacheable(request: Any) -> bool:
    """Whether a RangeRequest may be answered from what is kept: serializable, of the newest revision there is."""
    return bool(request.serializable and not request.revision)


def watch_of(request: Any, answer: Any, watch_id: int) -> Any:
    """The WatchCreateRequest that hears of everything behind an answer, and nothing of values."""
    return etcdserverpb.WatchCreateRequest(
        key=request.key, range_end=request.range_end, watch_id=watch_id, start_revision=answer.header.revision + 1
    )
