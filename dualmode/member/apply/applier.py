"""Decides: what a log entry does to the store and what its proposer is told; the same on every member.

One method per kind of request, found through a table. Each gives the serialised answer or raises `RpcError` having
changed nothing. The replica drives it inside a pass of the store. While authentication is on, each entry is first held
against what its proposer may do now: users and roles may have changed since it was proposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualmode import errors
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests, txn, writes
from dualmode.member.apply.alarms import Alarms
from dualmode.member.apply.transaction import Transaction
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.auth.gate import Gate
from dualmode.member.auth.management import Management
from dualmode.member.cluster.membership import Membership
from dualmode.member.headers import ResponseHeaders
from dualmode.member.kv import ranges
from dualmode.member.lease import apply as lease_apply
from dualmode.member.lease.lessor import Lessor
from dualmode.member.maintenance.downgrade import Downgrade, parse_version
from dualmode.member.maintenance.quota import UNLIMITED, cost_bytes
from dualmode.storage.mvcc.store import Store

Effect = Callable[[Any], bytes]


class ApplyCounts:
    """Operations applied, those inside transactions not counted by themselves."""

    __slots__ = ("deletes", "puts", "txns")

    def __init__(self) -> None:
        self.puts = self.deletes = self.txns = 0


class Applier:
    """Everything an entry may change, and the table from kinds to effects."""

    def __init__(
        self,
        store: Store,
        lessor: Lessor,
        alarms: Alarms,
        membership: Membership,
        headers: ResponseHeaders,
        now: Callable[[], float],
        management: Management,
    ) -> None:
        self.store = store
        self.lessor = lessor
        self.alarms = alarms
        self.membership = membership
        self.headers = headers
        self.counts = ApplyCounts()
        self.downgrade = Downgrade(store)
        self.quota = UNLIMITED
        #: --experimental-enable-lease-checkpoint-persist
        self.keeps_checkpoints = False
        #: Called (in a pass) when a request was applied that the quota had no room for.
        self.on_no_room: Callable[[], None] = lambda: None
        self._now = now
        self.accounts = management.accounts
        self._gate = Gate(management.accounts, store.leases)
        self._management = management
        #: Of the entry that is being applied.
        self._index = 0
        self.effects: dict[int, Effect] = {
            requests.PUT: self._put,
            requests.DELETE_RANGE: self._delete_range,
            requests.TXN: self._txn,
            requests.COMPACTION: self._compaction,
            requests.LEASE_GRANT: self._lease_grant,
            requests.LEASE_REVOKE: self._lease_revoke,
            requests.LEASE_CHECKPOINT: self._lease_checkpoint,
            requests.ALARM: self._alarm,
            requests.AUTHENTICATE: self._authenticate,
            requests.CLUSTER_VERSION_SET: self._cluster_version_set,
            requests.CLUSTER_MEMBER_ATTR_SET: self._member_attributes_set,
            requests.DOWNGRADE_INFO_SET: self._downgrade_info_set,
        }

        self.effects |= {kind: self._managing(change) for kind, change in management.effects.items()}

    def _header_field(self) -> bytes:
        return self.headers.field(self.store.revision)

    def _put(self, request: Any) -> bytes:
        store = self.store
        if request.lease or request.ignore_value or request.ignore_lease:
            writes.check_lease(self.lessor, request)
            writes.check_put(store, self.lessor, request)
            previous = writes.put(store, request)
        else:  # most puts: nothing to check, nothing to keep
            previous = store.put(request.key, request.value)
            if previous is not None and not request.prev_kv:
                previous = None
        self.counts.puts += 1
        header = self.headers.field(store.revision)
        return header if previous is None else header + ranges.field(previous)

    def _delete_range(self, request: Any) -> bytes:
        self.counts.deletes += 1
        return writes.delete_range(self.store, request, self._header_field)

    def _txn(self, transaction: Transaction) -> bytes:
        store = self.store
        path = txn.evaluate(store, transaction)
        txn.check(store, self.lessor, transaction, path, store.compacted)
        store.begin_transaction()
        body = txn.execute(store, transaction, path)
        store.commit_transaction()
        self.counts.txns += 1
        return self.headers.field(store.revision) + body

    def read_only_txn(self, transaction: Transaction) -> bytes:
        """A Txn that writes nothing, answered without the log."""
        path = txn.evaluate(self.store, transaction)
        txn.check(self.store, self.lessor, transaction, path, self.store.compacted)
        return self._header_field() + txn.execute(self.store, transaction, path)

    def _compaction(self, request: Any) -> bytes:
        self.store.compact(request.revision)
        return self._header_field()

    def _lease_grant(self, request: Any) -> bytes:
        return lease_apply.apply_grant(self.lessor, self.store.leases, request, self._now(), self._header_field)

    def _lease_revoke(self, request: Any) -> bytes:
        return lease_apply.apply_revoke(self.store, self.lessor, self.store.leases, request, self._header_field)

    def _lease_checkpoint(self, request: Any) -> bytes:
        rows = self.store.leases if self._keeps_checkpoints() else None
        return lease_apply.apply_checkpoint(self.lessor, rows, request, self._now(), self._header_field)

    def _keeps_checkpoints(self) -> bool:
        """As soon as no member is older than 3.6; before, where an option says so on all of them."""
        version = self.membership.cluster_version
        return self.keeps_checkpoints or (version is not None and parse_version(version) >= (3, 6))

    def _alarm(self, request: Any) -> bytes:
        answer = etcdserverpb.AlarmResponse(alarms=self.alarms.apply(request))
        return self._header_field() + bytes(answer.SerializeToString())

    def _cluster_version_set(self, request: Any) -> bytes:
        self.membership.set_cluster_version(request.ver)
        return self._header_field()

    def _member_attributes_set(self, request: Any) -> bytes:
        attributes = request.member_attributes
        self.membership.set_attributes(request.member_ID, attributes.name, list(attributes.client_urls))
        return self._header_field()

    def _downgrade_info_set(self, request: Any) -> bytes:
        self.downgrade.set(request.enabled, request.ver)
        return self._header_field()

    def _authenticate(self, request: Any) -> bytes:
        answer = self._management.authenticate(request, self._index)
        return self._header_field() + answer

    def _managing(self, change: Callable[[Any], None]) -> Effect:
        """A change of users or roles, which is answered with a header and nothing else."""

        def effect(request: Any) -> bytes:
            change(request)
            return self._header_field()

        return effect

    def apply(self, kind: int, request: Any, caller: Caller = NOBODY, index: int = 0) -> bytes | RpcError:
        """Does one request, of the entry at `index`, for who proposed it; gives its answer or the error its proposer
        is told."""
        effect = self.effects.get(kind)
        if effect is None:
            return self._header_field()
        self._index = index
        if not self.alarms.is_quiet:
            refusal = self.alarms.refusal(kind, grows=cost_bytes(kind, request) > 0)
            if refusal is not None:
                return refusal
        had_room = self.quota.has_room(self.store.total_size, kind, request)
        try:
            if self.accounts.is_enabled:
                self._gate.check(kind, request, caller)
            answer = effect(request)
        except RpcError as error:
            return error.forget_raising()
        if had_room:
            return answer
        self.on_no_room()
        return errors.NO_SPACE
