"""Does: an independent gRPC client for tests (grpcio, bytes in and bytes out), so that not our own client judges us.

Messages are built from dualmode.api's protos; what goes over the wire is grpcio's.
"""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Iterable, Iterator
from typing import Any, Final

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # tests start child processes while channels are open
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc

from dualmode.api import etcdserverpb
from tests.interop.servers import Certificates, Server

#: method -> (service, name of the request message, name of the response message)
UNARY: Final[dict[str, tuple[str, str, str]]] = {
    "Range": ("KV", "RangeRequest", "RangeResponse"),
    "Put": ("KV", "PutRequest", "PutResponse"),
    "DeleteRange": ("KV", "DeleteRangeRequest", "DeleteRangeResponse"),
    "Txn": ("KV", "TxnRequest", "TxnResponse"),
    "Compact": ("KV", "CompactionRequest", "CompactionResponse"),
    "LeaseGrant": ("Lease", "LeaseGrantRequest", "LeaseGrantResponse"),
    "LeaseRevoke": ("Lease", "LeaseRevokeRequest", "LeaseRevokeResponse"),
    "LeaseTimeToLive": ("Lease", "LeaseTimeToLiveRequest", "LeaseTimeToLiveResponse"),
    "LeaseLeases": ("Lease", "LeaseLeasesRequest", "LeaseLeasesResponse"),
    "HashKV": ("Maintenance", "HashKVRequest", "HashKVResponse"),
    "Downgrade": ("Maintenance", "DowngradeRequest", "DowngradeResponse"),
    "Status": ("Maintenance", "StatusRequest", "StatusResponse"),
    "MemberList": ("Cluster", "MemberListRequest", "MemberListResponse"),
}

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
CHANNEL_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def path_of(method: str) -> str:
    return f"/etcdserverpb.{UNARY[method][0]}/{method}"


def request_class(method: str) -> Any:
    return getattr(etcdserverpb, UNARY[method][1])


def open_channel(target: str, tls: Certificates | None = None) -> grpc.Channel:
    """A channel of its own connection: grpcio would share one between channels with equal arguments."""
    options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    if tls is None:
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        tls.authority.read_bytes(), tls.client_key.read_bytes(), tls.client_certificate.read_bytes()
    )
    return grpc.secure_channel(target, credentials, options)


def stream_call(channel: grpc.Channel, path: str, request: str, response: str) -> Any:
    """The bidirectional method `path` as grpcio's multi-callable."""
    return channel.stream_stream(
        path,
        request_serializer=getattr(etcdserverpb, request).SerializeToString,
        response_deserializer=getattr(etcdserverpb, response).FromString,
    )


class Client:
    """One connection. `client.Put(key=b"a", value=b"1")` returns the response message or raises `grpc.RpcError`."""

    def __init__(self, target: str, tls: Certificates | None = None) -> None:
        self.channel = open_channel(target, tls)
        self._unary = {
            method: self.channel.unary_unary(
                path_of(method),
                request_serializer=getattr(etcdserverpb, request).SerializeToString,
                response_deserializer=getattr(etcdserverpb, response).FromString,
            )
            for method, (_, request, response) in UNARY.items()
        }
        self.keep_alive = stream_call(
            self.channel, "/etcdserverpb.Lease/LeaseKeepAlive", "LeaseKeepAliveRequest", "LeaseKeepAliveResponse"
        )
        self.watch = stream_call(self.channel, "/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse")

    def call(self, method: str, request: Any, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Any:
        return self._unary[method](request, timeout=timeout_seconds)

    def begin(self, method: str, request: Any, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Any:
        """The call as a future: `.result()` gives the response or raises."""
        return self._unary[method].future(request, timeout=timeout_seconds)

    def __getattr__(self, method: str) -> Any:
        if method not in UNARY:
            raise AttributeError(method)
        return lambda **fields: self.call(method, request_class(method)(**fields))

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(server: Server) -> Client:
    return Client(server.target, server.tls)


@contextlib.contextmanager
def suppress_not_found() -> Iterator[None]:
    """For leases that may have ended already."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise


def start_afresh(*clients: Client) -> int:
    """Empties the stores, revokes the leases, brings all to the same revision and compacts there, so that servers that
    are shared between tests answer alike whatever ran before. Returns that revision."""
    for client in clients:
        for lease in client.LeaseLeases().leases:
            with suppress_not_found():  # it may end by itself meanwhile
                client.LeaseRevoke(ID=lease.ID)
        client.DeleteRange(key=b"\0", range_end=b"\0")
    revision = level_revisions(*clients)
    for client in clients:
        with contextlib.suppress(grpc.RpcError):  # compacted there already: nothing was written since
            client.Compact(revision=revision, physical=True)
    return revision


def level_revisions(*clients: Client) -> int:
    """Writes and deletes one key where revisions lag, until all are equal and every store is empty."""
    revisions = [client.Range(key=b"level").header.revision for client in clients]
    goal = max(revisions)
    if any(revision != goal for revision in revisions):
        goal += 2  # the lowest that every one can reach with a put and a delete behind at least one put
    for client, revision in zip(clients, revisions, strict=True):
        if revision == goal:
            continue
        for _ in range(goal - revision - 1):
            client.Put(key=b"level", value=b"")
        client.DeleteRange(key=b"level")
    return goal


class RequestFeed:
    """An iterator that grpcio's stream calls draw requests from; `send` may be called from any thread."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def send(self, request: Any) -> None:
        self._queue.put(request)

    def close(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        request = self._queue.get()
        if request is None:
            raise StopIteration
        return request


def once(request: Any) -> Iterable[Any]:
    return iter((request,))
