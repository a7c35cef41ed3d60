"""Decides: what each RPC asks of its caller before its handler runs. What is not named here is for root.

etcd's CVE-2026-33413 was a list of methods that somebody had to remember to guard. Here a forgotten method is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from dualmode.member.auth.access import Access, Call
from dualmode.rpc.calls import Kind, Method, ServerStream, UnaryCall
from dualmode.rpc.decode import decode

#: `AlarmRequest.action`.
_GET: Final = 0


class Rule(Enum):
    """Who gets as far as the handler."""

    ANYONE = "anyone"  #: asked before there is a login
    HANDLER = "handler"  #: the handler asks by itself, since it depends on the request
    USER = "user"  #: any user that exists
    USER_TO_ASK = "user to ask"  #: any user may ask which alarms there are, root may change them
    ROOT = "root"


_KV: Final = dict.fromkeys(("Range", "Put", "DeleteRange", "Txn", "RangeStream"), Rule.HANDLER)
_LEASE: Final = dict.fromkeys(
    ("LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseTimeToLive", "LeaseLeases"), Rule.HANDLER
)
_AUTH: Final = {
    "Authenticate": Rule.ANYONE,
    "AuthStatus": Rule.ANYONE,
    "UserGet": Rule.HANDLER,
    "RoleGet": Rule.HANDLER,
}
_MAINTENANCE: Final = {"Status": Rule.USER, "Alarm": Rule.USER_TO_ASK}
#: They are made of puts, transactions, watches and leases, each of which asks for its own.
_RECIPES: Final = {
    "v3electionpb.Election": dict.fromkeys(("Campaign", "Proclaim", "Leader", "Observe", "Resign"), Rule.HANDLER),
    "v3lockpb.Lock": dict.fromkeys(("Lock", "Unlock"), Rule.HANDLER),
}

RULES: Final[dict[str, Rule]] = {
    f"{service}/{name}": rule
    for service, methods in {
        "etcdserverpb.KV": _KV,
        "etcdserverpb.Watch": {"Watch": Rule.HANDLER},
        "etcdserverpb.Lease": _LEASE,
        "etcdserverpb.Auth": _AUTH,
        "etcdserverpb.Cluster": {"MemberList": Rule.USER},
        "etcdserverpb.Maintenance": _MAINTENANCE,
        **_RECIPES,
    }.items()
    for name, rule in methods.items()
}


def rule_of(method: Method) -> Rule:
    """The rule of a method; ROOT when none is written down."""
    return RULES.get(f"{method.service}/{method.name}", Rule.ROOT)


def guarded(method: Method, access: Access) -> Method:
    """The method behind its rule. Methods whose handler asks by itself are given back as they are: those are the hot
    ones."""
    rule = rule_of(method)
    if rule in (Rule.ANYONE, Rule.HANDLER):
        return method
    check: Callable[[Call], Any] = access.check_user if rule is Rule.USER else access.check_root
    handler: Any = method.handler

    def unary(call: UnaryCall, message: bytes) -> None:
        if rule is Rule.USER_TO_ASK and decode(method.request, message).action == _GET:
            access.check_user(call)
        else:
            check(call)
        handler(call, message)

    async def stream(server_stream: ServerStream) -> None:
        check(server_stream)
        await handler(server_stream)

    return replace(method, handler=unary if method.kind is Kind.UNARY else stream)
