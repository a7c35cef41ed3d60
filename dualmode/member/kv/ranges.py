"""Decides: a Range request against the store, answered as bytes.

The store holds serialised `mvccpb.KeyValue`s; an answer is put together from them with tag and length, nothing is
decoded but where a filter or a sort needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from dualmode import limits
from dualmode.member.kv.counts import CountedView, Counting
from dualmode.member.kv.keys_only import without_values
from dualmode.storage.mvcc import keyvalue
from dualmode.storage.varints import varint

#: Tag and length of a `kvs` element (field 2), by length, for the lengths that matter.
_KNOWN_LENGTHS: Final = 4096
_KV_PREFIXES: Final = tuple(b"\x12" + varint(length) for length in range(_KNOWN_LENGTHS))

_NONE, _ASCEND, _DESCEND = 0, 1, 2
_BY_KEY: Final = 0
_BY_VALUE: Final = 4
#: Position of each sort target in `keyvalue.fields`: KEY, VERSION, CREATE, MOD, VALUE.
_SORT_FIELDS: Final = (0, 3, 1, 2, 4)


class ReadView(Protocol):
    """What a range needs of the store (`storage.mvcc.Store`)."""

    revision: int

    def get(self, key: bytes) -> bytes | None: ...

    def select(self, key: bytes, range_end: bytes, revision: int, limit: int) -> list[bytes]: ...

    def count(self, key: bytes, range_end: bytes, revision: int) -> int: ...


class CountEachTime:
    """Counts by asking the view: inside transactions, where a revision is not over yet."""

    def total(self, view: CountedView, key: bytes, range_end: bytes, revision: int) -> int:
        """See counts.Counting."""
        return view.count(key, range_end, revision)

    def note_page(self, key: bytes, range_end: bytes, revision: int, total: int) -> None:
        """Nobody goes on from a page of a transaction."""


_COUNT_EACH_TIME: Final = CountEachTime()


def execute(view: ReadView, request: Any, header_field: bytes, counting: Counting = _COUNT_EACH_TIME) -> bytes:
    """The serialised RangeResponse; raises COMPACTED or FUTURE_REVISION."""
    key, range_end = request.key, request.range_end
    if not range_end and not request.revision and not _needs_more_than_a_get(request):
        return one_key(view.get(key), header_field)
    revision = request.revision
    if request.count_only:
        return header_field + _count_field(counting.total(view, key, range_end, revision))
    if request.keys_only and request.limit <= 0 and not is_filtered(request) and not _is_sorted(request):
        return header_field + _all_keys(view, request)
    kvs, count = _fetch(view, request, counting)
    if is_filtered(request):
        kvs = _filter(kvs, request)
    kvs = _sort(kvs, request)
    limit = request.limit
    more = 0 < limit < len(kvs)
    if more:
        kvs = kvs[:limit]
    parts = _elements(kvs)
    parts = [header_field, without_values(parts)] if request.keys_only else [header_field, *parts]
    if more:
        parts.append(b"\x18\x01")
    parts.append(_count_field(count))
    return b"".join(parts)


def _elements(kvs: list[bytes]) -> list[bytes]:
    """Records as elements of `kvs`: prefix, record, prefix, record ..."""
    lengths = list(map(len, kvs))
    parts = kvs + kvs
    parts[1::2] = kvs
    if max(lengths, default=0) < _KNOWN_LENGTHS:
        parts[::2] = [_KV_PREFIXES[length] for length in lengths]
    else:
        parts[::2] = [b"\x12" + varint(length) for length in lengths]
    return parts


def _is_sorted(request: Any) -> bool:
    """Whether anything but the order of the keys is asked for."""
    if request.sort_target == _BY_KEY:
        return bool(request.sort_order == _DESCEND)
    return True


def _all_keys(view: ReadView, request: Any) -> bytes:
    """The keys of a whole interval, and their count, with few values in memory at a time."""
    key, range_end, revision = request.key, request.range_end, request.revision
    parts: list[bytes] = []
    count = 0
    while True:
        piece = view.select(key, range_end, revision, limits.KEYS_ONLY_PIECE)
        parts.append(without_values(_elements(piece)))
        count += len(piece)
        if len(piece) < limits.KEYS_ONLY_PIECE or not range_end:
            parts.append(_count_field(count))
            return b"".join(parts)
        key = keyvalue.key_of(piece[-1]) + b"\0"


def one_key(kv: bytes | None, header_field: bytes) -> bytes:
    """The serialised RangeResponse for one key: its record and a count of 1, or neither."""
    return header_field if kv is None else header_field + field(kv) + b"\x20\x01"


def field(kv: bytes) -> bytes:
    """One element of `kvs`. (`prev_kv` of PutResponse is field 2 as well.)"""
    length = len(kv)
    return (_KV_PREFIXES[length] if length < _KNOWN_LENGTHS else b"\x12" + varint(length)) + kv


def _count_field(count: int) -> bytes:
    return b"\x20" + varint(count) if count else b""


def _needs_more_than_a_get(request: Any) -> bool:
    return request.count_only or request.keys_only or is_filtered(request)


def is_filtered(request: Any) -> bool:
    """Whether records are left out by their revisions."""
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _fetch(view: ReadView, request: Any, counting: Counting) -> tuple[list[bytes], int]:
    """What the interval holds and how many keys that is; no more than limit + 1 where the order allows it.

    `count` is of the whole interval whatever limit and filters say. A limit is dropped for an explicit order or a
    filter only: etcd sorts what an order-less request for another target fetched under its limit.
    """
    key, range_end, revision, limit = request.key, request.range_end, request.revision, request.limit
    if limit <= 0 or request.sort_order != _NONE or is_filtered(request):
        kvs = _select_all(view, request)
        return kvs, len(kvs)
    kvs = view.select(key, range_end, revision, limit + 1)
    if len(kvs) <= limit:
        return kvs, len(kvs)
    total = counting.total(view, key, range_end, revision)
    counting.note_page(keyvalue.key_of(kvs[limit - 1]) + b"\0", range_end, revision or view.revision, total - limit)
    return kvs, total


def _select_all(view: ReadView, request: Any) -> list[bytes]:
    """The whole interval. Who wants keys only, and does not sort by values, gets by with few values in memory."""
    key, range_end, revision = request.key, request.range_end, request.revision
    if not request.keys_only or request.sort_target == _BY_VALUE:
        return view.select(key, range_end, revision, 0)
    found: list[bytes] = []
    while True:
        piece = view.select(key, range_end, revision, limits.KEYS_ONLY_PIECE)
        found += [keyvalue.without_value(kv) for kv in piece]
        if len(piece) < limits.KEYS_ONLY_PIECE or not range_end:
            return found
        key = keyvalue.key_of(piece[-1]) + b"\0"


def _filter(kvs: list[bytes], request: Any) -> list[bytes]:
    low_mod, high_mod = request.min_mod_revision, request.max_mod_revision
    low_create, high_create = request.min_create_revision, request.max_create_revision
    kept = []
    for kv in kvs:
        _, create, mod, _, _, _ = keyvalue.fields(kv)
        if (high_mod and mod > high_mod) or (low_mod and mod < low_mod):
            continue
        if (high_create and create > high_create) or (low_create and create < low_create):
            continue
        kept.append(kv)
    return kept


def _sort(kvs: list[bytes], request: Any) -> list[bytes]:
    order, target = request.sort_order, request.sort_target
    if target != _BY_KEY and order == _NONE:
        order = _ASCEND
    if order == _NONE or (target == _BY_KEY and order == _ASCEND):
        return kvs
    position = _SORT_FIELDS[target]
    by_target: Callable[[bytes], Any] = lambda kv: keyvalue.fields(kv)[position]  # noqa: E731
    return sorted(kvs, key=by_target, reverse=order == _DESCEND)
