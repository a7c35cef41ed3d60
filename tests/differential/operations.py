"""Decides: one random operation after another, from a seeded Random and what is known of the store so far.

Edge values are common here and ordinary ones rare: a small pool of keys makes operations meet, and every number field
is drawn from a list of the places where servers differ (zero, negative, just beside the current and the compacted
revision, the ends of int64). Nothing is drawn whose answer is up to time or chance; known.py lists what is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from dualmode.api import etcdserverpb
from tests.differential.accounts import ROOT, USERS, Accounts, DrawAccounts
from tests.differential.operation import Operation
from tests.differential.services import DrawServices

MAX_INT64: Final = 2**63 - 1
MIN_INT64: Final = -(2**63)

KEYS: Final = (
    *(b"a", b"b", b"c", b"aa", b"ab", b"abc", b"abd", b"ac", b"a\x00", b"a\x00\x00", b"a\xff", b"a\xff\xff", b"b\x00"),
    *(b"\x00", b"\x00\x00", b"\x01", b"\xfe", b"\xff", b"\xff\xff", b"z", b"k" * 600, b"k" * 600 + b"1"),
    *(b"n/%02d" % number for number in range(12)),
)
#: Some equal, some that sort between others: value compares and sorts by value meet ties.
VALUES: Final = (b"", b"1", b"2", b"10", b"\x00", b"\xff\xfe", b"a", b"v" * 300, b"w" * 5000)
#: Leases that the client names; a few stay unknown most of the time.
LEASE_IDS: Final = (1, 2, 3, 7, 100, MAX_INT64, -5)
#: Never expires in a run. Shorter ones are granted and revoked at once (`lease_edge`).
LONG_TTL_SECONDS: Final = 100_000
EDGE_TTL_SECONDS: Final = (0, -1, 1, 2, 3, 60, 9_000_000_000, 9_000_000_001, MAX_INT64, MIN_INT64)
MAX_WATCH_STREAMS: Final = 3
MAX_WATCHES: Final = 12
#: Ranges that are asked for more than once.
POLLED_RANGES: Final = 6


@dataclass
class World:
    """What earlier answers told: enough to aim at the edges."""

    revision: int = 1
    compacted: int = 0
    leases: set[int] = field(default_factory=set)  #: alive and named by us
    assigned_leases: list[int] = field(default_factory=list)  #: alive and named by the server
    #: (stream, watch id) -> the revision it was asked to start from; -1 when that was compacted, and it has ended
    watches: dict[tuple[int, int], int] = field(default_factory=dict)
    next_watch_id: int = 1
    #: Ids that servers choose differ between the two and so do hashes of records with them: a run has one or the other.
    attach_assigned_leases: bool = False
    with_hash_kv: bool = True  #: the transport carries HashKV (JSON has it since 3.5.10 only)
    are_watches_apart: bool = False  #: every watch has a stream of its own (JSON), so ids do not meet
    is_basic: bool = False  #: one server is older than 3.5: only keys, leases and watches are compared
    with_member_changes: bool = True  #: both servers have the calls
    accounts: Accounts = field(default_factory=Accounts)
    has_leader: bool = False  #: the last campaign was won: Observe has something to tell


class Draw:
    """Draws operations; the same Random and the same answers give the same operations."""

    def __init__(self, random: Random, world: World) -> None:
        self.random = random
        self.world = world
        self._polled: list[Any] = []
        self._kinds: tuple[tuple[int, Callable[[], list[Operation]]], ...] = (
            (300, lambda: [Operation("Put", self.put())]),
            (280, lambda: [Operation("Range", self.range(any_enum=True))]),
            (80, self.polls),
            (100, lambda: [Operation("DeleteRange", self.delete_range())]),
            (220, lambda: [Operation("Txn", without_late_faults(self.txn()))]),
            (6, lambda: [Operation("Compact", self.compaction())]),
            (10, self.lease_grant),
            (6, self.lease_revoke),
            (12, self.lease_time_to_live),
            (6, lambda: [Operation("LeaseKeepAlive", etcdserverpb.LeaseKeepAliveRequest(ID=self.lease_id()))]),
            (3, lambda: [Operation("LeaseLeases", etcdserverpb.LeaseLeasesRequest())]),
            (4, self.lease_edge),
            (4, self.hash_kv),
        )
        self._accounts = DrawAccounts(random, world.accounts)
        self._services = DrawServices(random, LEASE_IDS, world.with_member_changes)
        #: Work that says by itself who does it.
        self._named_kinds: tuple[tuple[int, Callable[[], list[Operation]]], ...] = (
            (957, self.as_callers),
            (0 if world.is_basic else 40, self._accounts.operations),
            (0 if world.is_basic else 20, lambda: self._services.operations(self._accounts.caller, self._root())),
            (0 if world.is_basic else 2, self.alarms),
            (6, self.watch_create),
            (2, self.watch_cancel),
            (2, self.watch_progress),
        )

    def operations(self) -> list[Operation]:
        """One operation, or a few that belong together."""
        accounts = self.world.accounts
        if accounts.enabled and ROOT not in accounts.tokens:
            return [self._accounts.log_in(ROOT)]
        if accounts.enabled and self.chance(1):
            return [self._accounts.log_in(self.random.choice(USERS))]
        (kind,) = self.random.choices(
            [kind for _, kind in self._named_kinds], [weight for weight, _ in self._named_kinds]
        )
        return kind()

    def as_callers(self) -> list[Operation]:
        (kind,) = self.random.choices([kind for _, kind in self._kinds], [weight for weight, _ in self._kinds])
        caller = self._accounts.caller()
        return [self._as(caller, operation) for operation in kind()]

    def _root(self) -> str:
        return ROOT if self.world.accounts.enabled else ""

    def _as(self, caller: str, operation: Operation) -> Operation:
        """Root takes over what 3.5 lets everybody do and later releases do not, and what depends on the shape of a tree
        in etcd (known.py)."""
        request = operation.request
        if self.world.accounts.enabled and caller != ROOT:
            named = caller in self.world.accounts.tokens
            if has_upside_down(request):
                return Operation(operation.method, request, user=ROOT)
            match operation.method:
                case "Txn" if named or any(request.ListFields()):
                    without_late_checks(request)
                case "Compact" | "Txn":
                    caller = ROOT
                case "LeaseLeases" if named:
                    caller = ROOT
                case "LeaseGrant" | "LeaseRevoke" if not caller:
                    caller = ROOT
                case "LeaseKeepAlive":
                    caller = ROOT
        return Operation(operation.method, request, user=caller)

    def alarms(self) -> list[Operation]:
        if self.world.accounts.enabled:
            return []
        flat = [Operation("Txn", without_late_faults(self.txn(depth=2)))]
        between = [
            Operation("Put", self.put()),
            Operation("Range", self.range()),
            *flat,
            Operation("DeleteRange", self.delete_range()),
            *self.lease_grant(),
            *self.lease_revoke(),
        ]
        return self._services.alarm_group([it for it in between if self.chance(60)])

    # --- fields ----------------------------------------------------------------------------------------------

    def chance(self, percent: float) -> bool:
        return self.random.random() * 100 < percent

    def key(self) -> bytes:
        return b"" if self.chance(1) else self.random.choice(KEYS)

    def value(self) -> bytes:
        return self.random.choice(VALUES)

    def interval(self) -> tuple[bytes, bytes]:
        """(key, range_end) in every form that etcd knows, and upside down."""
        key = self.key()
        form = self.random.randrange(10)
        if form < 4:
            return key, b""
        if form < 6:
            return key, key[:-1] + bytes((key[-1] + 1,)) if key and key[-1] < 255 else b"\x00"
        if form == 6:
            return key, b"\x00"
        if form == 7:
            return b"\x00", b"\x00"
        return key, self.random.choice((*KEYS, b"\x00", key))

    def revision(self) -> int:
        """For reads: mostly the newest, often an old one, sometimes nonsense."""
        if self.chance(60):
            return 0
        now, compacted = self.world.revision, self.world.compacted
        edges = (-1, 1, now, now - 1, now + 1, now + 1000, compacted - 1, compacted, compacted + 1)
        if self.chance(50):
            return self.random.choice((*edges, MAX_INT64, MIN_INT64))
        return self.random.randint(max(1, now - 200), now)

    def bound(self) -> int:
        """For minimum and maximum revision filters: mostly off."""
        if self.chance(88):
            return 0
        return self.random.choice((-1, 1, self.random.randint(1, self.world.revision + 1), MAX_INT64))

    def lease_id(self) -> int:
        if self.world.assigned_leases and self.world.attach_assigned_leases and self.chance(30):
            return self.random.choice(self.world.assigned_leases)
        return 0 if self.chance(3) else self.random.choice(LEASE_IDS)

    # --- KV --------------------------------------------------------------------------------------------------

    def range(self, any_enum: bool = False) -> Any:
        key, range_end = self.interval()
        request = etcdserverpb.RangeRequest(key=key, range_end=range_end, revision=self.revision())
        if self.chance(40):
            request.limit = self.random.choice((1, 2, 3, 5, 10, 1000, -1, MAX_INT64, MIN_INT64))
        if self.chance(40):
            request.sort_order = self.random.randrange(3)
            request.sort_target = self.random.randrange(5)
        if any_enum and self.chance(0.5):
            request.sort_order = self.random.choice((3, -1))
            request.sort_target = self.random.choice((0, 5, -1))
        request.serializable = self.chance(20)
        request.keys_only = self.chance(15)
        request.count_only = self.chance(10)
        for name in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            setattr(request, name, self.bound())
        return request

    def polls(self) -> list[Operation]:
        """One of a few ranges that are asked for again and again, as programs do, whatever is written in between."""
        if len(self._polled) < POLLED_RANGES or self.chance(2):
            self._polled = [*self._polled[1 - POLLED_RANGES :], self.range()]
        return [Operation("Range", self.random.choice(self._polled))] * self.random.randint(1, 3)

    def put(self) -> Any:
        request = etcdserverpb.PutRequest(key=self.key(), prev_kv=self.chance(30))
        request.ignore_value = self.chance(8)
        request.ignore_lease = self.chance(8)
        if not request.ignore_value or self.chance(10):
            request.value = self.value()
        if self.chance(25) and (not request.ignore_lease or self.chance(10)):
            request.lease = self.lease_id()
        return request

    def delete_range(self) -> Any:
        key, range_end = self.interval()
        if range_end and self.chance(50):
            range_end = b""  # or the store would be empty most of the time
        return etcdserverpb.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=self.chance(40))

    def compare(self) -> Any:
        key, range_end = self.interval()
        compare = etcdserverpb.Compare(key=key, result=self.random.randrange(4), target=self.random.randrange(5))
        if self.chance(30):
            compare.range_end = range_end
        if self.chance(1):
            compare.result = self.random.choice((4, -1))
        if self.chance(1):
            compare.target = self.random.choice((5, -1))
        target = compare.target if self.chance(95) else self.random.randrange(6)  # also none, and one of another kind
        revision = self.random.choice((0, 1, self.world.revision, self.random.randint(0, self.world.revision), -1))
        match target:
            case 0:
                compare.version = self.random.choice((0, 1, 2, 3, -1, MAX_INT64))
            case 1:
                compare.create_revision = revision
            case 2:
                compare.mod_revision = revision
            case 3:
                compare.value = self.value()
            case 4:
                compare.lease = self.lease_id()
        return compare

    def txn(self, depth: int = 0) -> Any:
        request = etcdserverpb.TxnRequest()
        if depth == 0 and self.chance(0.5):
            return self.crowded_txn()
        request.compare.extend(self.compare() for _ in range(self.random.choice((0, 1, 1, 2, 3))))
        for branch in (request.success, request.failure):
            put_keys: set[bytes] = set()
            for _ in range(self.random.choice((0, 1, 1, 2, 3, 5))):
                branch.append(self.request_op(depth, put_keys))
        return request

    def request_op(self, depth: int, put_keys: set[bytes]) -> Any:
        """`put_keys`: keys put by this branch so far. Most duplicates are avoided, or few transactions would pass."""
        operation = etcdserverpb.RequestOp()
        kind = self.random.randrange(100)
        if kind < 1:
            return operation  # no request in it
        if kind < 40:
            operation.request_range.CopyFrom(self.range())
        elif kind < 75:
            put = self.put()
            for _ in range(10):
                if put.key not in put_keys or self.chance(3):
                    break
                put.key = self.key()
            put_keys.add(put.key)
            operation.request_put.CopyFrom(put)
        elif kind < 88 or depth == 2:
            delete = self.delete_range()
            if self.chance(70):
                delete.range_end = b""
                delete.key = self.random.choice([key for key in KEYS if key not in put_keys])
            operation.request_delete_range.CopyFrom(delete)
        else:
            operation.request_txn.CopyFrom(self.txn(depth + 1))
        return operation

    def crowded_txn(self) -> Any:
        """At, and just above, the limit of 128 operations; also when a nested one crosses it."""
        request = etcdserverpb.TxnRequest()
        branch = self.random.choice((request.success, request.failure))
        for number in range(self.random.choice((127, 128, 129))):
            branch.add().request_range.key = b"n/%02d" % (number % 12)
        if self.chance(50):
            del branch[60:]
            nested = branch.add().request_txn
            for number in range(self.random.choice((66, 67, 68, 69))):
                nested.success.add().request_range.key = b"n/%02d" % (number % 12)
        if self.chance(30):
            request.compare.extend(self.compare() for _ in range(self.random.choice((128, 129))))
        return request

    def compaction(self) -> Any:
        now, compacted = self.world.revision, self.world.compacted
        edges = (0, -1, MIN_INT64, MAX_INT64, compacted, compacted - 1, compacted + 1, now, now + 1)
        revision = self.random.choice(edges) if self.chance(40) else self.random.randint(max(1, now - 300), now)
        return etcdserverpb.CompactionRequest(revision=revision, physical=self.chance(50))

    def hash_kv(self) -> list[Operation]:
        """Everything stored, in one number."""
        if self.world.attach_assigned_leases or not self.world.with_hash_kv:
            return []
        return [Operation("HashKV", etcdserverpb.HashKVRequest(revision=0))]

    # --- leases ----------------------------------------------------------------------------------------------

    def lease_grant(self) -> list[Operation]:
        lease_id = 0 if self.chance(30) else self.random.choice(LEASE_IDS)
        ttl = LONG_TTL_SECONDS + self.random.randrange(1000)
        return [Operation("LeaseGrant", etcdserverpb.LeaseGrantRequest(ID=lease_id, TTL=ttl))]

    def lease_revoke(self) -> list[Operation]:
        lease_id = self.lease_id()
        if self.world.assigned_leases and self.chance(30):
            lease_id = self.random.choice(self.world.assigned_leases)
        return [Operation("LeaseRevoke", etcdserverpb.LeaseRevokeRequest(ID=lease_id))]

    def lease_time_to_live(self) -> list[Operation]:
        lease_id = self.lease_id()
        if self.world.assigned_leases and self.chance(30):
            lease_id = self.random.choice(self.world.assigned_leases)
        request = etcdserverpb.LeaseTimeToLiveRequest(ID=lease_id, keys=self.chance(70))
        return [Operation("LeaseTimeToLive", request)]

    def lease_edge(self) -> list[Operation]:
        """A lease of an odd TTL, looked at and revoked before it could expire."""
        lease_id = 5_000 + self.random.randrange(1000)
        ttl = self.random.choice(EDGE_TTL_SECONDS)
        return [
            Operation("LeaseGrant", etcdserverpb.LeaseGrantRequest(ID=lease_id, TTL=ttl)),
            Operation("LeaseGrant", etcdserverpb.LeaseGrantRequest(ID=lease_id, TTL=LONG_TTL_SECONDS)),
            Operation("LeaseKeepAlive", etcdserverpb.LeaseKeepAliveRequest(ID=lease_id)),
            Operation("LeaseTimeToLive", etcdserverpb.LeaseTimeToLiveRequest(ID=lease_id, keys=True)),
            Operation("LeaseRevoke", etcdserverpb.LeaseRevokeRequest(ID=lease_id)),
        ]

    # --- watch -----------------------------------------------------------------------------------------------

    def watch_create(self) -> list[Operation]:
        if len(self.world.watches) >= MAX_WATCHES:
            return self.watch_cancel()
        key, range_end = self.interval()
        caller = self._accounts.caller()
        if self.world.accounts.enabled and caller != ROOT and range_end <= max(key, b"\x00"):
            range_end = b""
        stream = self._stream_of(caller)
        watch_id = self.world.next_watch_id
        taken = [(its_stream, its_id) for its_stream, its_id in self.world.watches if its_stream == stream]
        may_fail = self.world.accounts.enabled and caller != ROOT
        if taken and self.chance(30) and not self.world.are_watches_apart and not may_fail:
            stream, watch_id = self.random.choice(taken)
        request = etcdserverpb.WatchCreateRequest(key=key, range_end=range_end, watch_id=watch_id)
        now, compacted = self.world.revision, self.world.compacted
        if self.chance(50):
            starts = (now, now + 1, now + 5, now + 200, max(1, compacted - 1), compacted + 1, max(1, now - 300))
            request.start_revision = self.random.choice(starts)
            if request.start_revision == compacted:
                request.start_revision += 1
        request.prev_kv = self.chance(50)
        request.fragment = self.chance(20)
        request.progress_notify = self.chance(20)
        if self.chance(25):
            request.filters.extend(self.random.choice(((0,), (1,), (0, 1), (1, 1))))
        return [Operation("WatchCreate", request, stream, caller)]

    def _stream_of(self, caller: str) -> int:
        """A stream carries the token that it was opened with: every user has streams of their own, and new ones after
        each login."""
        logins = self.world.accounts.logins.get(caller, 0)
        number = (*USERS, "").index(caller) + logins * (len(USERS) + 1)
        return number * MAX_WATCH_STREAMS + self.random.randrange(MAX_WATCH_STREAMS)

    def watch_progress(self) -> list[Operation]:
        """Asked on a stream where something is watched, and nothing from a revision to come: 3.6 waits for it."""
        alive = [(stream, start) for (stream, _), start in self.world.watches.items() if start >= 0]
        waiting = {stream for stream, start in alive if start > self.world.revision}
        streams = sorted({stream for stream, _ in alive} - waiting)
        if not streams or self.world.are_watches_apart:
            return []
        stream = self.random.choice(streams)
        return [Operation("WatchProgress", etcdserverpb.WatchProgressRequest(), stream)]

    def watch_cancel(self) -> list[Operation]:
        if not self.world.watches:
            return []
        stream, watch_id = self.random.choice(list(self.world.watches))
        return [Operation("WatchCancel", etcdserverpb.WatchCancelRequest(watch_id=watch_id), stream)]


def without_late_faults(txn: Any) -> Any:
    """Takes ignore_value and ignore_lease from the puts of a transaction that also deletes: a put that keeps the value
    of a key deleted earlier in the same transaction passes etcd's check and then ends the server."""
    operations = list(_flattened(txn))
    if any(operation.HasField("request_delete_range") for operation in operations):
        for operation in operations:
            if operation.HasField("request_put"):
                operation.request_put.ignore_value = operation.request_put.ignore_lease = False
    return txn


def without_late_checks(txn: Any) -> None:
    """Takes from a transaction what 3.5.1 does not check permissions for: nested ones, and, in puts, previous records
    and leases."""
    for branch in (txn.success, txn.failure):
        for index in reversed(range(len(branch))):
            if branch[index].HasField("request_txn"):
                del branch[index]
            elif branch[index].HasField("request_put"):
                branch[index].request_put.prev_kv = False
                branch[index].request_put.lease = 0
    if not any(txn.ListFields()):
        txn.success.add().request_range.key = b"a"


def has_upside_down(message: Any) -> bool:
    """Whether a range that holds no key is anywhere in a request."""
    if {"key", "range_end"} <= set(message.DESCRIPTOR.fields_by_name.keys()):
        return bool(b"\x00" != message.range_end != b"" and message.range_end <= message.key)
    return any(
        has_upside_down(part)
        for descriptor, value in message.ListFields()
        if descriptor.message_type is not None
        for part in (value if descriptor.is_repeated else (value,))
    )


def _flattened(txn: Any) -> Iterator[Any]:
    for operation in (*txn.success, *txn.failure):
        yield operation
        if operation.HasField("request_txn"):
            yield from _flattened(operation.request_txn)
