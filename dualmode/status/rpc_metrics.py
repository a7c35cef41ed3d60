"""Decides: the counters of a method table under the names of go-grpc-prometheus, all of them from the start."""

from __future__ import annotations

from collections.abc import Callable

from dualmode.errors import CODE_NAMES
from dualmode.rpc.counters import MethodCounters
from dualmode.rpc.table import MethodTable
from dualmode.status.families import Labels, Value

#: What binds a metric's name to its numbers.
Bindings = dict[str, Callable[[], Value]]


def rpc_bindings(table: MethodTable) -> Bindings:
    """The families of a server's methods."""
    rows: list[tuple[Labels, MethodCounters]] = [
        ((entry.method.kind.value, entry.method.service, entry.method.name), entry.counters)
        for entry in table.entries.values()
    ]
    return {
        "grpc_server_started_total": lambda: {labels: counters.started for labels, counters in rows},
        "grpc_server_handled_total": lambda: {
            (*labels, name): counters.handled(code) for labels, counters in rows for code, name in CODE_NAMES.items()
        },
        "grpc_server_msg_received_total": lambda: {labels: counters.messages_received for labels, counters in rows},
        "etcd_network_client_grpc_received_bytes_total": lambda: sum(counters.received_bytes for _, counters in rows),
        "etcd_network_client_grpc_sent_bytes_total": lambda: sum(counters.sent_bytes for _, counters in rows),
        "grpc_server_msg_sent_total": lambda: {labels: counters.messages_sent for labels, counters in rows},
    }
