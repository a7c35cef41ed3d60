"""Does: the KV service: checks a request, then reads at once (timing what may be long) or hands it to the replica.

Nothing here awaits and nothing makes a task: an answer is given inline or parked with its proposal.
"""

from __future__ import annotations

import time
from typing import Any, Final

from dualmode import errors
from dualmode.api import etcdserverpb
from dualmode.member.apply import requests
from dualmode.member.apply.transaction import Transaction
from dualmode.member.auth.access import Access
from dualmode.member.auth.caller import NOBODY
from dualmode.member.kv import checks, ranges
from dualmode.member.kv.counts import Counts
from dualmode.member.kv.remembered_answers import Answer, RememberedAnswers
from dualmode.member.kv.slow_reads import SlowReads
from dualmode.member.replica import Replica
from dualmode.rpc.calls import Kind, Method, UnaryCall
from dualmode.rpc.decode import decode

_SERVICE = "etcdserverpb.KV"
_KEY_TAG: Final = 0x0A
_ONE_BYTE_LENGTHS: Final = 0x80


class KvService:
    """`etcdserverpb.KV` of one member."""

    def __init__(
        self,
        replica: Replica,
        max_txn_operations: int,
        wait_for_compaction: Any,
        access: Access,
        slow_read_seconds: float,
    ) -> None:
        self._replica = replica
        self._accounts = replica.applier.accounts
        self._access = access
        self._store = replica.store
        self._headers = replica.applier.headers
        #: How many keys intervals have, as far as it is remembered.
        self.counts = Counts(replica.store)
        self._answers = RememberedAnswers()
        self._store.on_change = self._answers.on_change
        self._slow_reads = SlowReads(slow_read_seconds, replica.counters)
        self._max_txn_operations = max_txn_operations
        self._wait_for_compaction = wait_for_compaction
        #: Ranges read, for the metrics.
        self.ranges = 0

    def methods(self) -> list[Method]:
        """What the method table takes."""
        pb = etcdserverpb
        return [
            Method(_SERVICE, "Range", Kind.UNARY, pb.RangeRequest, pb.RangeResponse, self.range),
            Method(_SERVICE, "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, self.put),
            Method(
                _SERVICE, "DeleteRange", Kind.UNARY, pb.DeleteRangeRequest, pb.DeleteRangeResponse, self.delete_range
            ),
            Method(_SERVICE, "Txn", Kind.UNARY, pb.TxnRequest, pb.TxnResponse, self.txn),
            Method(_SERVICE, "Compact", Kind.UNARY, pb.CompactionRequest, pb.CompactionResponse, self.compact),
        ]

    def range(self, call: UnaryCall, message: bytes) -> None:
        """Linearizable unless the request says serializable."""
        self.ranges += 1
        # Most reads are of one key and say nothing else: then the message is field 1 and ends with it.
        if len(message) > 2 and message[0] == _KEY_TAG and message[1] == len(message) - 2 < _ONE_BYTE_LENGTHS:
            if self._replica.intake.can_read_now:
                self._answer_get(call, message[2:])
            elif self._replica.is_learner:
                raise errors.NOT_SUPPORTED_FOR_LEARNER
            else:
                self._replica.intake.when_readable(lambda: self._answer_get(call, message[2:]), call)
            return
        answer = self._answers.get(message)
        if answer is not None and (answer.is_serializable or self._replica.intake.can_read_now):
            self._answer_again(call, answer)
            return
        request = decode(etcdserverpb.RangeRequest, message)
        checks.check_range(request)
        if request.serializable:
            self._answer_range(call, request, message)
        elif self._replica.is_learner:
            raise errors.NOT_SUPPORTED_FOR_LEARNER
        else:
            self._replica.intake.when_readable(lambda: self._answer_range(call, request, message), call)

    def _answer_get(self, call: UnaryCall, key: bytes) -> None:
        if self._accounts.is_enabled:
            self._access.check_read(call, key, b"")
        store = self._store
        call.reply(ranges.one_key(store.get(key), self._headers.field(store.revision)))

    def _answer_range(self, call: UnaryCall, request: Any, message: bytes) -> None:
        # It may have been kept while the read waited for its round.
        known = self._answers.get(message)
        if known is not None:
            self._answer_again(call, known)
            return
        if self._accounts.is_enabled:
            self._access.check_read(call, request.key, request.range_end)
        store, began = self._store, time.perf_counter()
        header = self._headers.field(store.revision)
        answer = ranges.execute(store, request, header, self.counts)
        self._slow_reads.after_range(began, request, answer)
        self._answers.note(message, request, answer, len(header))
        call.reply(answer)

    def _answer_again(self, call: UnaryCall, known: Answer) -> None:
        """The same answer as before, under the header of now."""
        if self._accounts.is_enabled:
            self._access.check_read(call, known.key, known.range_end)
        began = time.perf_counter()
        answer = self._headers.field(self._store.revision) + known.body
        self._slow_reads.after_remembered_range(began, known.message, answer)
        call.reply(answer)

    def put(self, call: UnaryCall, message: bytes) -> None:
        request = decode(etcdserverpb.PutRequest, message)
        checks.check_put(request)
        self._propose(requests.PUT, message, request, call)

    def delete_range(self, call: UnaryCall, message: bytes) -> None:
        request = decode(etcdserverpb.DeleteRangeRequest, message)
        checks.check_delete_range(request)
        self._propose(requests.DELETE_RANGE, message, request, call)

    def txn(self, call: UnaryCall, message: bytes) -> None:
        """Through the log if it may write; else read like a Range."""
        request = decode(etcdserverpb.TxnRequest, message)
        transaction = Transaction(request, self._max_txn_operations)
        checks.check_txn(transaction)
        if not checks.is_read_only(transaction):
            self._propose(requests.TXN, message, transaction, call)
        elif checks.is_serializable(transaction):
            self._answer_txn(call, request, transaction)
        else:
            self._replica.intake.when_readable(lambda: self._answer_txn(call, request, transaction), call)

    def _propose(self, kind: int, message: bytes, request: Any, call: UnaryCall) -> None:
        caller = self._access.named_caller_of(call) if self._accounts.is_enabled else NOBODY
        self._replica.intake.propose(kind, message, request, call, caller)

    def _answer_txn(self, call: UnaryCall, request: Any, transaction: Transaction) -> None:
        if self._accounts.is_enabled:
            self._access.check_txn(call, transaction)
        began = time.perf_counter()
        answer = self._replica.applier.read_only_txn(transaction)
        self._slow_reads.after_txn(began, request, answer)
        call.reply(answer)

    def compact(self, call: UnaryCall, message: bytes) -> None:
        """Answered when the compaction is scheduled; `physical` waits until this member has done it.

        For root alone, which is asked before (`auth.method_rules`): the entry itself is no user's.
        """
        request = decode(etcdserverpb.CompactionRequest, message)
        reply = self._wait_for_compaction(call, request.revision) if request.physical else call
        self._replica.intake.propose(requests.COMPACTION, message, request, reply)
