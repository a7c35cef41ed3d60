"""Decides: the line in the log for a call that has ended (`--access-log`).

Never of bodies, tokens or header values, nor of what stands behind the question mark of a path.
"""

from __future__ import annotations

from typing import Any

from dualmode import limits, log
from dualmode.edge.mux import is_grpc
from dualmode.errors import Code
from dualmode.proxy.observed import ObservedCall

_log = log.get("access")


def write_line(call: ObservedCall) -> None:
    """An `observed.Observer`."""
    head = call.head
    fields: dict[str, Any] = {"status": int(call.http_status or 0)}
    if is_grpc(head):
        fields = {"code": "" if call.fault else code_name(call.grpc_status)}
    if call.fault:
        fields["fault"] = call.fault
    _log.info(
        "call",
        client=call.peer.address,
        protocol=f"HTTP/{head.version.decode('ascii')}",
        tls=call.peer.is_tls,
        method=_text(head.method),
        path=_text(head.path.partition(b"?")[0]),
        **fields,
        duration_ms=round(call.duration_seconds * 1000, 3),
        received_bytes=call.received_bytes,
        sent_bytes=call.sent_bytes,
        endpoint=call.endpoint,
    )


def code_name(status: bytes) -> str:
    """`OK`, `NOT_FOUND` ...; a member's own number as it is."""
    text = _text(status)
    known = text.isdigit() and len(text) < 3 and int(text) in Code.__members__.values()
    return Code(int(text)).name if known else text


def _text(data: bytes) -> str:
    """What a client has sent, as far as it is printed: it may be long, and hold anything."""
    return ascii(data[: limits.ACCESS_LOG_PATH_BYTES].decode("latin-1"))[1:-1]
