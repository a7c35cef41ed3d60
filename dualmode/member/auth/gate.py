"""Decides: whether what a log entry asks for is allowed to its proposer; the same on every member.

etcd's published holes of 2026 were all checks that looked at a part of a request: a transaction inside a transaction
(CVE-2026-33343), a put in a transaction that answers with the previous record or takes hold of a lease. Here one
function per operation says what it touches, wherever the operation stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from dualmode.member.apply import requests
from dualmode.member.apply.transaction import DELETE_RANGE, PUT, RANGE, TXN, Operation, Transaction
from dualmode.member.auth.accounts import Accounts
from dualmode.member.auth.caller import Caller
from dualmode.member.auth.permissions import Permissions

#: What only root may change, by the kind of its entry.
ROOT_KINDS: Final = frozenset(
    (
        requests.AUTH_ENABLE,
        requests.AUTH_DISABLE,
        requests.AUTH_USER_ADD,
        requests.AUTH_USER_DELETE,
        requests.AUTH_USER_CHANGE_PASSWORD,
        requests.AUTH_USER_GRANT_ROLE,
        requests.AUTH_USER_REVOKE_ROLE,
        requests.AUTH_ROLE_ADD,
        requests.AUTH_ROLE_DELETE,
        requests.AUTH_ROLE_GRANT_PERMISSION,
        requests.AUTH_ROLE_REVOKE_PERMISSION,
    )
)


class AttachedKeys(Protocol):
    """Which keys hang on a lease (`storage.leases.Leases`)."""

    def keys_of(self, lease_id: int) -> Iterable[bytes]: ...


class Gate:
    """Asked by the applier before each entry while authentication is on."""

    def __init__(self, accounts: Accounts, attached: AttachedKeys) -> None:
        self._permissions = Permissions(accounts)
        self._attached = attached
        self._checks: dict[int, Callable[[Any, Caller], None]] = {
            requests.PUT: self.check_put,
            requests.DELETE_RANGE: self.check_delete_range,
            requests.TXN: self.check_txn,
            requests.LEASE_REVOKE: self._check_lease_revoke,
        } | dict.fromkeys(ROOT_KINDS, self._check_root)

    def check(self, kind: int, request: Any, caller: Caller) -> None:
        """Raises `RpcError` when the caller may not do this; kinds that are not in the table are for everyone."""
        check = self._checks.get(kind)
        if check is not None:
            check(request, caller)

    def _check_root(self, request: Any, caller: Caller) -> None:
        self._permissions.check_root(caller)

    def check_range(self, request: Any, caller: Caller) -> None:
        """A RangeRequest."""
        self._permissions.check_read(caller, request.key, request.range_end)

    def check_put(self, request: Any, caller: Caller) -> None:
        """A PutRequest: the key, what hangs on the lease already, and the record that is answered."""
        self._permissions.check_write(caller, request.key, b"")
        if request.lease:
            self.check_lease(request.lease, caller)
        if request.prev_kv:
            self._permissions.check_read(caller, request.key, b"")

    def check_delete_range(self, request: Any, caller: Caller) -> None:
        """A DeleteRangeRequest."""
        self._permissions.check_write(caller, request.key, request.range_end)
        if request.prev_kv:
            self._permissions.check_read(caller, request.key, request.range_end)

    def check_txn(self, transaction: Transaction, caller: Caller) -> None:
        """All compares and both branches, whichever will be taken, and all of what is nested in them."""
        for compare in transaction.compares:
            self._permissions.check_read(caller, compare.key, compare.range_end)
        for branch in (transaction.success, transaction.failure):
            for operation in branch:
                self._check_operation(operation, caller)

    def _check_operation(self, operation: Operation, caller: Caller) -> None:
        kind = operation.kind
        if kind == RANGE:
            self.check_range(operation.request, caller)
        elif kind == PUT:
            self.check_put(operation.request, caller)
        elif kind == DELETE_RANGE:
            self.check_delete_range(operation.request, caller)
        elif kind == TXN:
            self.check_txn(operation.request, caller)

    def _check_lease_revoke(self, request: Any, caller: Caller) -> None:
        self.check_lease(request.ID, caller)

    def check_lease(self, lease_id: int, caller: Caller) -> None:
        """Whether the caller may end, or prolong, the life of all keys on a lease. Who may not must not tie a key to
        it either: nobody could then revoke it."""
        if self._permissions.is_root(caller):
            return
        for key in self._attached.keys_of(lease_id):
            self._permissions.check_write(caller, key, b"")
