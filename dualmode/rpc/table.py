"""Decides: the methods a server has, with what is counted of each and what all their calls share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dualmode import limits
from dualmode.errors import Code, RpcError
from dualmode.rpc.calls import Method
from dualmode.rpc.counters import MethodCounters
from dualmode.rpc.hooks import BeforeCall, allow
from dualmode.rpc.json_paths import JSON_PATHS
from dualmode.rpc.timeouts import Deadlines


@dataclass(frozen=True, slots=True)
class Shared:
    """What all calls of one table share."""

    before_call: BeforeCall = allow
    #: Of one request message; etcd: `--max-request-bytes` and 512 KiB on top.
    receive_limit_bytes: int = limits.MAX_REQUEST_BYTES + limits.GRPC_OVERHEAD_BYTES
    #: Its `tick` belongs on the edge's `on_tick`.
    deadlines: Deadlines = field(default_factory=Deadlines)


@dataclass(frozen=True, slots=True)
class Entry:
    """One method as the routes serve it."""

    method: Method
    counters: MethodCounters
    shared: Shared

    @property
    def json_paths(self) -> tuple[str, ...]:
        """Where the JSON gateway has it; methods that do not say are looked up in etcd's table."""
        return self.method.json_paths or JSON_PATHS.get(f"{self.method.service}/{self.method.name}", ())


class MethodTable:
    """All methods of one server, by the path of their gRPC call."""

    def __init__(self, methods: Iterable[Method], shared: Shared | None = None) -> None:
        self.shared = shared or Shared()
        self.entries: dict[bytes, Entry] = {}
        for method in methods:
            assert method.path not in self.entries, f"{method.path!r} is there twice"
            self.entries[method.path] = Entry(method, MethodCounters(method.kind), self.shared)
        self.services = frozenset(entry.method.service for entry in self.entries.values())

    def unknown(self, path: bytes) -> RpcError:
        """What a call of a path that is not in the table is told, in grpc-go's words."""
        service, slash, name = path.decode("utf-8", "replace").removeprefix("/").rpartition("/")
        if not slash:
            return RpcError(Code.UNIMPLEMENTED, f'malformed method name: "{path.decode("utf-8", "replace")}"')
        if service not in self.services:
            return RpcError(Code.UNIMPLEMENTED, f"unknown service {service}")
        return RpcError(Code.UNIMPLEMENTED, f"unknown method {name} for service {service}")
