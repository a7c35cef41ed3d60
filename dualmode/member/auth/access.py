"""Decides: who brings a call, and whether they may; what services ask before they answer or propose.

A caller is the user of a token, else the common name of a verified client certificate when clients need one. While
authentication is off, nobody is asked and services look at nothing but `is_on`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.http.routing import PeerIdentity
from dualmode.member.apply.transaction import Transaction
from dualmode.member.auth.accounts import Accounts
from dualmode.member.auth.caller import NOBODY, ROOT, Caller
from dualmode.member.auth.gate import AttachedKeys, Gate
from dualmode.member.auth.management import Tokens
from dualmode.member.auth.permissions import Permissions
from dualmode.rpc.calls import Metadata

#: Set by etcd's own JSON gateway, which stands in front of its members with a certificate of its own.
_FOREIGN_GATEWAY = "grpcgateway-accept"


class Call(Protocol):
    """A unary call or a stream."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def peer(self) -> PeerIdentity: ...


class Access:
    """The rules for calls of one member; `lease.access.Guard` and `watch.service.Authorize` are among them."""

    def __init__(
        self, accounts: Accounts, tokens: Tokens, attached: AttachedKeys, *, trusts_certificates: bool
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._trusts_certificates = trusts_certificates
        self._permissions = Permissions(accounts)
        self._gate = Gate(accounts, attached)

    @property
    def is_on(self) -> bool:
        """Whether anybody is asked at all."""
        return self._accounts.is_enabled

    # --- Who -------------------------------------------------------------------------------------------------

    def caller_of(self, call: Call) -> Caller:
        """Who brings this call, NOBODY if they do not say. Raises INVALID_AUTH_TOKEN."""
        if not self._accounts.is_enabled:
            return NOBODY
        metadata = call.metadata
        if metadata.token is not None:
            caller = self._tokens.caller_of(metadata.token, self._accounts.revision)
            if caller is None:
                raise errors.INVALID_AUTH_TOKEN
            return caller
        name = call.peer.common_name
        # Behind a gateway of etcd's the certificate is the gateway's, not that of who asks. Our own JSON gateway is the
        # listener itself, so there it is the caller's, and counts.
        if name is None or not self._trusts_certificates or metadata.get(_FOREIGN_GATEWAY) is not None:
            return NOBODY
        return Caller(name, self._accounts.revision)

    def named_caller_of(self, call: Call) -> Caller:
        """The same for calls that go through the log; raises USER_EMPTY for who does not say, so that strangers cannot
        fill it."""
        caller = self.caller_of(call)
        if caller is NOBODY and self._accounts.is_enabled:
            raise errors.USER_EMPTY
        return caller

    def root(self) -> Caller:
        """Who the member's own proposals are made for (leases that expired)."""
        return Caller(ROOT, self._accounts.revision) if self._accounts.is_enabled else NOBODY

    # --- Whether ---------------------------------------------------------------------------------------------

    def check_user(self, call: Call) -> Caller:
        """Any user that exists; gives them."""
        caller = self.caller_of(call)
        if self._accounts.is_enabled:
            self._permissions.check_user(caller)
        return caller

    def check_root(self, call: Call) -> Caller:
        """Users with the role root; gives them."""
        caller = self.caller_of(call)
        if self._accounts.is_enabled:
            self._permissions.check_root(caller)
        return caller

    def check_read(self, call: Call, key: bytes, range_end: bytes) -> None:
        """Who may read all that (key, range_end) means, now: to be asked when the answer is made."""
        if self._accounts.is_enabled:
            caller = self.caller_of(call)
            self._permissions.check_read(caller, key, range_end)
            self._permissions.check_unchanged(caller)

    def check_txn(self, call: Call, transaction: Transaction) -> None:
        """The same for a transaction that only reads."""
        if self._accounts.is_enabled:
            caller = self.named_caller_of(call)
            self._gate.check_txn(transaction, caller)
            self._permissions.check_unchanged(caller)

    # --- lease.access.Guard ----------------------------------------------------------------------------------

    def check_readable(self, call: Call, keys: Iterable[bytes]) -> None:
        """Who may read all these keys."""
        if self._accounts.is_enabled:
            caller = self.caller_of(call)
            if not self._permissions.is_root(caller):
                for key in keys:
                    self._permissions.check_read(caller, key, b"")

    def check_renewal(self, call: Call, lease_id: int) -> None:
        """Who may write all keys on a lease: keeping it alive keeps them."""
        if self._accounts.is_enabled:
            self._gate.check_lease(lease_id, self.check_user(call))

    def sees_every_lease(self, call: Call) -> bool:
        """Root does."""
        return not self._accounts.is_enabled or self._permissions.is_root(self.caller_of(call))

    # --- Questions about users and roles ---------------------------------------------------------------------

    def check_user_get(self, call: Call, name: str) -> None:
        """Root, and users about themselves."""
        self._check_root_unless(call, lambda caller: caller.username == name)

    def check_role_get(self, call: Call, role: str) -> None:
        """Root, and users about the roles they have."""
        self._check_root_unless(call, lambda caller: self._permissions.has_role(caller, role))

    def _check_root_unless(self, call: Call, is_own: Any) -> None:
        if not self._accounts.is_enabled:
            return
        caller = self.caller_of(call)
        try:
            self._permissions.check_root(caller)
        except RpcError as error:
            if not is_own(caller):
                raise
            error.forget_raising()
