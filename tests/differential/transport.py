"""Does: carries operations to one server and brings outcomes back; gRPC (grpcio) here, JSON may stand beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc

from dualmode.api import etcdserverpb
from tests.differential.compare import Outcome
from tests.differential.operations import Operation
from tests.interop.grpc_client import Client, RequestFeed, once
from tests.interop.servers import Certificates

CALL_TIMEOUT_SECONDS: Final = 20.0
WATCH_TIMEOUT_SECONDS: Final = 10.0


class WatchHistory:
    """What one watch delivered: `events` in order; `closing` is the response that ended it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.closing: Any = None
        self.faults: list[str] = []

    def take(self, response: Any) -> None:
        if response.canceled:
            self.closing = response
        if not response.events:
            return
        first = response.events[0].kv.mod_revision
        if self.events and not response.fragment:
            last = self.events[-1].kv.mod_revision
            if first < last or (first == last and not self._was_fragment):
                self.faults.append(f"revision {first} follows {last} in another response")
        if response.header.revision < response.events[-1].kv.mod_revision:
            self.faults.append(f"header revision {response.header.revision} is below the newest event's")
        self._was_fragment = response.fragment
        self.events.extend(response.events)

    _was_fragment = False


class WatchStream:
    """One bidirectional Watch call; a thread of its own collects what arrives."""

    def __init__(self, call: Any) -> None:
        self._feed = RequestFeed()
        self._responses = call(self._feed)
        self._changed = threading.Condition()
        self._created: list[Any] = []
        self.histories: dict[int, WatchHistory] = {}
        self.end: str | None = None
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        try:
            for response in self._responses:
                with self._changed:
                    if response.created:
                        self._created.append(response)
                        if not response.canceled:
                            self.histories[response.watch_id] = WatchHistory()
                    elif response.watch_id in self.histories:
                        self.histories[response.watch_id].take(response)
                    self._changed.notify_all()
            self.end = "the server ended the stream"
        except grpc.RpcError as error:
            self.end = f"{error.code()}: {error.details()}"
        with self._changed:
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], timeout_seconds: float = WATCH_TIMEOUT_SECONDS) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: condition() or self.end is not None, timeout_seconds) and condition()

    def create(self, request: Any) -> Outcome:
        seen = len(self._created)
        self._feed.send(etcdserverpb.WatchRequest(create_request=request))
        if self.wait(lambda: len(self._created) > seen):
            return Outcome(self._created[seen])
        return Outcome(code=-1, text=f"no created response: {self.end or 'time is up'}")

    def cancel(self, watch_id: int) -> Outcome:
        history = self.histories[watch_id]
        if history.closing is None:
            self._feed.send(
                etcdserverpb.WatchRequest(cancel_request=etcdserverpb.WatchCancelRequest(watch_id=watch_id))
            )
        if self.wait(lambda: history.closing is not None):
            return Outcome(history.closing)
        return Outcome(code=-1, text=f"no canceled response: {self.end or 'time is up'}")

    def close(self) -> None:
        self._feed.close()
        self._responses.cancel()


class Transport(Protocol):
    """What a run needs of a server. `with_watches`: it also carries watches, and HashKV."""

    with_watches: bool
    client: Client

    def begin(self, operation: Operation) -> Callable[[], Outcome]:
        """Sends a unary operation, or one message of LeaseKeepAlive; the result waits for the outcome."""

    def open_watch(self) -> WatchStream: ...

    def close(self) -> None: ...


class GrpcTransport:
    with_watches = True

    def __init__(self, target: str, tls: Certificates | None = None) -> None:
        self.client = Client(target, tls)

    def begin(self, operation: Operation) -> Callable[[], Outcome]:
        if operation.method == "LeaseKeepAlive":
            return lambda: self._keep_alive(operation.request)
        future = self.client.begin(operation.method, operation.request, CALL_TIMEOUT_SECONDS)

        def outcome() -> Outcome:
            try:
                return Outcome(future.result())
            except grpc.RpcError as error:
                return failed(error)

        return outcome

    def _keep_alive(self, request: Any) -> Outcome:
        try:
            return Outcome(next(self.client.keep_alive(once(request), timeout=CALL_TIMEOUT_SECONDS)))
        except StopIteration:
            return Outcome(code=-1, text="the stream ended without an answer")
        except grpc.RpcError as error:
            return failed(error)

    def open_watch(self) -> WatchStream:
        return WatchStream(self.client.watch)

    def close(self) -> None:
        self.client.close()


def failed(error: Any) -> Outcome:
    return Outcome(code=error.code().value[0], text=error.details())


def wait_until(condition: Callable[[], bool], timeout_seconds: float, interval_seconds: float = 0.01) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_seconds)  # a poll between two streams, bounded by the deadline
    return True
