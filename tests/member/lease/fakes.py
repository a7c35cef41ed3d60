"""What surrounds the lease calls: a stream, a call, a log that applies at once or when told, another leader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import trio

from dualmode import errors
from dualmode.api import etcdserverpb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.headers import ResponseHeaders
from dualmode.member.leader_streams import LeaderStreams
from dualmode.member.lease.apply import apply_checkpoint, apply_grant, apply_revoke
from dualmode.member.lease.lessor import Lessor
from dualmode.member.lease.service import LeaseService
from dualmode.rpc.calls import Reply
from dualmode.rpc.framing import unframed

HEADERS = ResponseHeaders(0xC0FFEE, 0xBEEF)


class FakeCall:
    """A unary call; keeps its answer."""

    def __init__(self) -> None:
        self.metadata: Any = None
        self.peer: Any = None
        self.message: bytes | None = None
        self.error: RpcError | None = None
        self.spawned: list[tuple[Any, ...]] = []

    def on_gone(self, callback: Any) -> None: ...

    def spawn(self, function: Any, *arguments: Any) -> None:
        self.spawned.append((function, *arguments))

    async def run_spawned(self) -> None:
        """What the handler left to a task; its error becomes the call's."""
        ((function, *arguments),) = self.spawned
        try:
            await function(*arguments)
        except RpcError as error:
            self.fail(error)

    def reply(self, message: bytes) -> None:
        assert self.message is None
        assert self.error is None
        self.message = message

    def fail(self, error: RpcError) -> None:
        assert self.message is None
        assert self.error is None
        self.error = error


class FakeStream:
    """A keep-alive stream whose client has sent these messages and then half-closes."""

    #: Whether the handler is offered what it can answer at once.
    offers = True

    def __init__(self, *lease_ids: int) -> None:
        self.metadata: Any = SimpleNamespace(has_leader=False)
        self.peer: Any = None
        self.requests = deque(etcdserverpb.LeaseKeepAliveRequest(ID=one).SerializeToString() for one in lease_ids)
        self.answers: list[Any] = []
        self.unsent_bytes = 0
        self.is_open = True
        self.ended_with: RpcError | None = None
        self._at_once: Callable[[list[bytes]], int] = lambda messages: 0

    async def receive(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        if self.offers and self.requests:
            for _ in range(self._at_once(list(self.requests))):
                self.requests.popleft()
        return self.requests.popleft() if self.requests else None

    def answer_at_once(self, answer: Callable[[list[bytes]], int]) -> None:
        self._at_once = answer

    def send_frames(self, data: bytes, count: int) -> None:
        messages = list(unframed(data))
        assert len(messages) == count
        for message in messages:
            self.send_now(message)

    def send_now(self, message: bytes) -> None:
        self.answers.append(etcdserverpb.LeaseKeepAliveResponse.FromString(message))

    async def send(self, message: bytes) -> None:
        self.send_now(message)

    def on_drained(self, callback: Any) -> None: ...

    def on_gone(self, callback: Any) -> None: ...

    def end(self, error: RpcError | None = None) -> None:
        self.ended_with = error


class FakeRows:
    """Lease rows and attachments, without a store."""

    def __init__(self) -> None:
        self.saved: dict[int, tuple[int, int]] = {}
        self.keys: dict[int, list[bytes]] = {}

    def save(self, lease_id: int, ttl_seconds: int, remaining_seconds: int = 0) -> None:
        self.saved[lease_id] = (ttl_seconds, remaining_seconds)

    def remove(self, lease_id: int) -> None:
        del self.saved[lease_id]

    def keys_of(self, lease_id: int) -> list[bytes]:
        return self.keys.get(lease_id, [])

    def begin_transaction(self) -> None: ...

    def commit_transaction(self) -> None: ...

    def delete_range(self, key: bytes, range_end: bytes) -> list[bytes]:
        return []


class OtherLeader:
    """The leader, somewhere else, or this member with a majority to ask."""

    def __init__(self) -> None:
        self.is_confirmed = True
        self.confirmation: RpcError | None = None
        self.confirmations = 0
        self.keep_alive_answer: int | RpcError = errors.NO_LEADER
        self.time_to_live_answer: Any = errors.NO_LEADER

    async def confirm(self) -> None:
        await trio.lowlevel.checkpoint()
        self.confirmations += 1
        if self.confirmation is not None:
            raise self.confirmation

    async def keep_alive(self, lease_id: int) -> int:
        await trio.lowlevel.checkpoint()
        if isinstance(self.keep_alive_answer, RpcError):
            raise self.keep_alive_answer
        return self.keep_alive_answer

    async def time_to_live(self, request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if isinstance(self.time_to_live_answer, RpcError):
            raise self.time_to_live_answer
        return self.time_to_live_answer


class Scene:
    """A lease service whose proposals wait until `apply`; the clock is trio's (virtual, in these tests)."""

    def __init__(self, *, is_primary: bool = True, applies_at_once: bool = True, **options: Any) -> None:
        self.lessor = Lessor(2)
        if is_primary:
            self.lessor.promote(trio.current_time(), 0.0)
        self.rows = FakeRows()
        self.leader = OtherLeader()
        self.leader_streams = LeaderStreams()
        self.proposed: deque[tuple[int, Any, Reply]] = deque()
        self.refusal: RpcError | None = None
        self.applies_at_once = applies_at_once
        self.next_ids = [0, 77, 78, 79]
        self.service = LeaseService(
            self.lessor,
            self.rows,
            self.leader,
            self.leader_streams,
            propose=self.propose,
            header_field=self.header_field,
            next_lease_id=lambda: self.next_ids.pop(0),
            request_timeout_seconds=7.0,
            **options,
        )

    def header_field(self) -> bytes:
        return HEADERS.field(5)

    def propose(self, kind: int, message: bytes, request: Any, reply: Reply, caller: Caller = NOBODY) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert type(request).FromString(message) == request
        self.proposed.append((kind, request, reply))
        if self.applies_at_once:
            self.apply()

    def apply(self) -> None:
        """Does what waits in the log."""
        now = trio.current_time()
        while self.proposed:
            kind, request, reply = self.proposed.popleft()
            try:
                if kind == requests.LEASE_GRANT:
                    reply.reply(apply_grant(self.lessor, self.rows, request, now, self.header_field))
                elif kind == requests.LEASE_REVOKE:
                    reply.reply(apply_revoke(self.rows, self.lessor, self.rows, request, self.header_field))
                else:
                    reply.reply(apply_checkpoint(self.lessor, self.rows, request, now, self.header_field))
            except RpcError as error:
                reply.fail(error)

    def call(self, method: Any, request: Any) -> Any:
        """The answer to a unary call, decoded by the name of its request; or its error."""
        call = FakeCall()
        try:
            method(call, request.SerializeToString())
        except RpcError as error:
            return error
        return self.outcome(call, request)

    def outcome(self, call: FakeCall, request: Any) -> Any:
        if call.message is None:
            return call.error
        response = getattr(etcdserverpb, type(request).__name__.replace("Request", "Response"))
        return response.FromString(call.message)
