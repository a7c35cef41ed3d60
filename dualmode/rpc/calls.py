"""Decides: what a service sees of a call, whatever carried it (gRPC, JSON, or this process itself).

A unary handler gets a `UnaryCall` and the serialised request; it answers exactly once, now or later, with `reply` or
`fail`. A streaming handler is an async function that gets a `ServerStream`; when it returns the stream ends with OK,
when it raises `RpcError` with that status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from dualmode.errors import RpcError
from dualmode.http.interface import Pairs
from dualmode.http.routing import PeerIdentity


class Metadata(Protocol):
    """Request metadata that servers act on, resolved once per header block."""

    has_leader: bool  #: `hasleader: true`: fail rather than serve without a leader
    token: str | None  #: `token`, else `authorization` without "Bearer "
    client_api_version: str  #: `client-api-version`, "unknown" when absent
    timeout_seconds: float | None  #: `grpc-timeout`
    is_gateway: bool  #: came through the JSON gateway
    refusal: RpcError | None  #: why no call with this metadata can be served

    @property
    def pairs(self) -> Pairs:
        """All of it as it came, for whoever calls somebody else on behalf of the caller."""

    def get(self, name: str) -> str | None: ...


class Reply(Protocol):
    """Takes the outcome of a request, once."""

    def reply(self, message: bytes) -> None: ...

    def fail(self, error: RpcError) -> None: ...


class UnaryCall(Reply, Protocol):
    """A unary call in progress. Answering one whose client has gone is fine and does nothing."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def peer(self) -> PeerIdentity: ...

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Calls back when the client goes before it is answered. To be asked for before the handler returns; one
        callback per call."""

    def spawn(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Runs a task for a handler that has to wait for more than one thing. It is cancelled when the client goes or
        the deadline passes; what it raises becomes the call's error. To be called before the handler returns."""


class ServerStream(Protocol):
    """A streaming call in progress. `receive` belongs to one task; the sending calls may come from anywhere on the
    loop (apply pushes watch events with `send_now`)."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def peer(self) -> PeerIdentity: ...

    async def receive(self) -> bytes | None:
        """The next request message, None once the client has half-closed; raises `RpcError` CANCELLED when the client
        is gone."""

    def answer_at_once(self, answer: Callable[[list[bytes]], int]) -> None:
        """From now on messages that arrive while `receive` waits are offered here first: a handler that can answer
        without waiting for anything need not be woken. `answer` says how many it has answered, from the first on; the
        others are received as usual. It must not raise. Where that is of no use, nothing is offered."""

    def send_frames(self, data: bytes, count: int) -> None:
        """So many messages, framed as gRPC does it: as `send_now` with each of them, for less."""

    def send_now(self, message: bytes) -> None:
        """Queues a message; never blocks. Whoever sends without awaiting watches `unsent_bytes`."""

    async def send(self, message: bytes) -> None:
        """Queues a message and waits while more than the high-water mark is unsent."""

    @property
    def unsent_bytes(self) -> int: ...

    @property
    def is_open(self) -> bool:
        """False once the client is gone."""

    def on_drained(self, callback: Callable[[], None]) -> None:
        """Calls back (repeatedly) when unsent bytes fall below the low-water mark."""

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Calls back once when the client is gone."""

    def end(self, error: RpcError | None = None) -> None:
        """Ends the call from outside the handler; the handler is cancelled."""


UnaryHandler = Callable[[UnaryCall, bytes], None]
StreamHandler = Callable[[ServerStream], Awaitable[None]]


class Kind(Enum):
    """What may stream: nothing, the answers, the requests, both."""

    UNARY = "unary"
    SERVER_STREAM = "server_stream"
    CLIENT_STREAM = "client_stream"
    BIDI = "bidi_stream"


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its full name, its message classes, who handles it and where the JSON gateway has it."""

    service: str  #: "etcdserverpb.KV"
    name: str  #: "Range"
    kind: Kind
    request: Any  #: protobuf message class
    response: Any
    handler: UnaryHandler | StreamHandler
    json_paths: tuple[str, ...] = ()  #: "/v3/kv/range"; aliases under /v3alpha and /v3beta are made by the gateway

    @property
    def path(self) -> bytes:
        """ ":path" of the gRPC call."""
        return f"/{self.service}/{self.name}".encode()
