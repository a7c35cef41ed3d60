"""Decides: what is measured: the requests, the shapes of load, and the bars that dualmode holds itself to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dualmode.api import etcdserverpb
from dualmode.rpc.json_encode import encode
from tests.interop.grpc_client import path_of

#: 8 bytes, as many keys in the field have; h2load sends one body per run, so one key is put again and again.
PUT_KEY: Final = b"bench-01"
VALUE: Final = b"v" * 256
SPAN_KEYS: Final = 1000
#: In front of each gRPC message: not compressed, then its length.
GRPC_PREFIX: Final = bytes(5)


def span_key(number: int) -> bytes:
    return b"span/%06d" % number


@dataclass(frozen=True, slots=True)
class Shape:
    """`connections` x `streams`: how many requests are under way at once, and over how many sockets."""

    connections: int
    streams: int

    def __str__(self) -> str:
        return f"{self.connections}x{self.streams}"

    @property
    def at_once(self) -> int:
        """Requests under way at any time."""
        return self.connections * self.streams

    def divided(self, among: int) -> list[Shape]:
        """The same load for several members: each connection goes to one of them."""
        counts = [self.connections // among + (number < self.connections % among) for number in range(among)]
        return [Shape(count, self.streams) for count in counts if count]


SHAPES: Final = (Shape(1, 100), Shape(10, 10), Shape(100, 1), Shape(100, 10), Shape(1000, 1), Shape(1, 1))
#: Where the bars of throughput for each CPU second hold.
BAR_SHAPES: Final = (Shape(1, 100), Shape(10, 10), Shape(100, 10))
#: HTTP/1.1 has one request at a time on a connection.
JSON_SHAPES: Final = (Shape(10, 1), Shape(100, 1), Shape(1000, 1), Shape(1, 1))
#: Where the slowest of a hundred answers has to come no later than etcd's.
P99_SHAPE: Final = Shape(100, 10)


def bar_at(bar: float | None, shape: Shape) -> float | None:
    """Bars are for load: one client alone is judged by its latency, one request a connection not at all."""
    return bar if shape in BAR_SHAPES else None


@dataclass(frozen=True, slots=True)
class Topology:
    """How many members, and whether the load goes to all of them or to the leader."""

    name: str
    members: int = 1
    is_spread: bool = False
    #: https toward clients.
    has_tls: bool = False
    #: Every call brings the token of a user who is not root and has a role.
    has_auth: bool = False


ONE: Final = Topology("")
THREE: Final = Topology("three members", 3)
THREE_SPREAD: Final = Topology("three members, load on all", 3, is_spread=True)
TLS: Final = Topology("TLS", has_tls=True)
AUTH: Final = Topology("auth on", has_auth=True)
TOPOLOGIES: Final = (ONE, TLS, AUTH, THREE, THREE_SPREAD)
#: Where clusters are measured.
CLUSTER_SHAPES: Final = (Shape(10, 10), Shape(100, 10))


@dataclass(frozen=True, slots=True)
class Workload:
    """One request sent again and again. `is_write`: the version of PUT_KEY counts what succeeded; otherwise the
    bytes of the answers do. `bar`: how many times etcd's throughput for each CPU second we want."""

    name: str
    method: str
    request: Any
    is_write: bool
    bar: float | None
    #: The same with three members; None: not measured there.
    cluster_bar: float | None = None
    #: The same over TLS.
    tls_bar: float | None = None
    #: The same with a token in every call.
    auth_bar: float | None = None
    #: Whether the p99 has a bar too.
    judges_p99: bool = False
    #: The JSON gateway's path, where it is asked over HTTP/1.1 in place of gRPC.
    json_path: str = ""

    @property
    def path(self) -> str:
        return self.json_path or path_of(self.method)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return JSON_SHAPES if self.json_path else SHAPES

    def bar_at(self, shape: Shape) -> float | None:
        if self.json_path:
            return self.bar if shape in JSON_SHAPES[:2] else None
        return bar_at(self.bar, shape)

    def bar_in(self, topology: Topology) -> float | None:
        """Where the topology is not the plain one; None: not measured there."""
        if topology.has_auth:
            return self.auth_bar
        return self.tls_bar if topology.has_tls else self.cluster_bar

    @property
    def body(self) -> bytes:
        """The request as one uncompressed gRPC message, or as JSON."""
        return encode(self.request).encode() if self.json_path else grpc_message(self.request)


def grpc_message(request: Any) -> bytes:
    data = request.SerializeToString()
    return GRPC_PREFIX[:1] + len(data).to_bytes(4, "big") + data


def _compare_and_swap() -> Any:
    """Succeeds each time: the value is what the last one left."""
    swap = etcdserverpb.RequestOp(request_put=etcdserverpb.PutRequest(key=PUT_KEY, value=VALUE))
    compare = etcdserverpb.Compare(key=PUT_KEY, target=3, result=0, value=VALUE)
    return etcdserverpb.TxnRequest(compare=[compare], success=[swap])


WORKLOADS: Final = (
    Workload("Put", "Put", etcdserverpb.PutRequest(key=PUT_KEY, value=VALUE), True, 2.0, 1.2, 1.5, 2.0, True),
    Workload("Range", "Range", etcdserverpb.RangeRequest(key=PUT_KEY), False, 3.0, 1.0, 1.5, 3.0, True),
    Workload(
        "Range of 1,000",
        "Range",
        etcdserverpb.RangeRequest(key=span_key(0), range_end=span_key(SPAN_KEYS)),
        False,
        5.0,
    ),
    Workload(
        "Keys only of 1,000",
        "Range",
        etcdserverpb.RangeRequest(key=span_key(0), range_end=span_key(SPAN_KEYS), keys_only=True),
        False,
        5.0,
    ),
    Workload(
        "Count of 1,000",
        "Range",
        etcdserverpb.RangeRequest(key=span_key(0), range_end=span_key(SPAN_KEYS), count_only=True),
        False,
        5.0,
    ),
    Workload("Txn (compare, put)", "Txn", _compare_and_swap(), True, 2.0),
    Workload(
        "Put as JSON",
        "Put",
        etcdserverpb.PutRequest(key=PUT_KEY, value=VALUE),
        True,
        1.0,
        json_path="/v3/kv/put",
    ),
    Workload("Range as JSON", "Range", etcdserverpb.RangeRequest(key=PUT_KEY), False, 1.0, json_path="/v3/kv/range"),
)
