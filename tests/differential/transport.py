"""Does: carries operations to one server and brings outcomes back; gRPC (grpcio) here, JSON may stand beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc

from dualmode.api import etcdserverpb
from tests.differential.compare import Outcome
from tests.differential.methods import METHODS, SERVER_STREAMS, Method
from tests.differential.operation import Operation
from tests.interop.grpc_client import Client, RequestFeed, once
from tests.interop.servers import Certificates

CALL_TIMEOUT_SECONDS: Final = 20.0
WATCH_TIMEOUT_SECONDS: Final = 10.0

Metadata = tuple[tuple[str, str], ...]


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


class Tokens:
    """The tokens that one server has given, by user."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}

    def get(self, user: str) -> str:
        return self._tokens.get(user, "")

    def learn(self, operation: Operation, outcome: Outcome) -> Outcome:
        """Takes the token out of an answer to Authenticate: it is different everywhere."""
        if operation.method == "Authenticate" and outcome.response is not None:
            self._tokens[operation.request.name] = outcome.response.token
            shape = outcome.response.token.partition(".")
            outcome.response.token = f"{len(shape[0])} letters{shape[1]}"
        return outcome


class HistoryKeeper:
    """What watches deliver, sorted by watch; `take` is called by threads that read."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.created: list[Any] = []
        self.progressed: list[Any] = []
        self.histories: dict[int, WatchHistory] = {}
        self.end: str | None = None

    def take(self, response: Any) -> None:
        with self._changed:
            if response.created:
                self.created.append(response)
                if not response.canceled:
                    self.histories[response.watch_id] = WatchHistory()
            elif response.watch_id in self.histories:
                self.histories[response.watch_id].take(response)
            elif response.watch_id == -1 and not response.canceled:
                self.progressed.append(response)
            self._changed.notify_all()

    def ended(self, why: str) -> None:
        with self._changed:
            self.end = why
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], timeout_seconds: float = WATCH_TIMEOUT_SECONDS) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: condition() or self.end is not None, timeout_seconds) and condition()


class WatchStream(HistoryKeeper):
    """One bidirectional Watch call; a thread of its own collects what arrives."""

    def __init__(self, call: Any, metadata: Metadata = ()) -> None:
        super().__init__()
        self._feed = RequestFeed()
        self._responses = call(self._feed, metadata=metadata)
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        try:
            for response in self._responses:
                self.take(response)
            self.ended("the server ended the stream")
        except grpc.RpcError as error:
            self.ended(f"{error.code()}: {error.details()}")

    def _answered(self, answers: list[Any], request: Any, what: str) -> Outcome:
        seen = len(answers)
        self._feed.send(request)
        if self.wait(lambda: len(answers) > seen):
            return Outcome(answers[seen])
        return Outcome(code=-1, text=f"no {what} response: {self.end or 'time is up'}")

    def create(self, request: Any) -> Outcome:
        return self._answered(self.created, etcdserverpb.WatchRequest(create_request=request), "created")

    def progress(self) -> Outcome:
        request = etcdserverpb.WatchRequest(progress_request=etcdserverpb.WatchProgressRequest())
        return self._answered(self.progressed, request, "progress")

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


class Watches(Protocol):
    """Watches of one user on one server."""

    histories: dict[int, WatchHistory]

    def create(self, request: Any) -> Outcome: ...

    def cancel(self, watch_id: int) -> Outcome: ...

    def progress(self) -> Outcome: ...

    def close(self) -> None: ...


class Transport(Protocol):
    """What a run needs of a server. `with_hash_kv`: it carries HashKV; `are_watches_apart`: each watch has a stream."""

    with_hash_kv: bool
    are_watches_apart: bool
    client: Client

    def begin(self, operation: Operation) -> Callable[[], Outcome]:
        """Sends a unary operation, or one that gives its first answer; the result waits for the outcome."""

    def open_watch(self, user: str) -> Watches: ...

    def close(self) -> None: ...


class GrpcTransport:
    with_hash_kv = True
    are_watches_apart = False

    def __init__(self, target: str, tls: Certificates | None = None) -> None:
        self.client = Client(target, tls)
        self.tokens = Tokens()
        self._calls = {name: self._call_of(name, method) for name, method in METHODS.items()}

    def _call_of(self, name: str, method: Method) -> Any:
        channel = self.client.channel
        make = channel.unary_unary
        if name in SERVER_STREAMS:
            make = channel.unary_stream
        elif name == "LeaseKeepAlive":
            make = channel.stream_stream
        return make(
            method.grpc_path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

    def _metadata(self, user: str) -> Metadata:
        token = self.tokens.get(user)
        return (("token", token),) if token else ()

    def begin(self, operation: Operation) -> Callable[[], Outcome]:
        call, metadata = self._calls[operation.method], self._metadata(operation.user)
        if operation.method in SERVER_STREAMS or operation.method == "LeaseKeepAlive":
            return lambda: self._first(call, operation, metadata)
        future = call.future(operation.request, timeout=CALL_TIMEOUT_SECONDS, metadata=metadata)

        def outcome() -> Outcome:
            try:
                return self.tokens.learn(operation, Outcome(future.result()))
            except grpc.RpcError as error:
                return failed(error)

        return outcome

    @staticmethod
    def _first(call: Any, operation: Operation, metadata: Metadata) -> Outcome:
        """The first answer of a stream."""
        request = once(operation.request) if operation.method == "LeaseKeepAlive" else operation.request
        answers = call(request, timeout=CALL_TIMEOUT_SECONDS, metadata=metadata)
        try:
            return Outcome(next(answers))
        except StopIteration:
            return Outcome(code=-1, text="the stream ended without an answer")
        except grpc.RpcError as error:
            return failed(error)
        finally:
            answers.cancel()

    def open_watch(self, user: str) -> WatchStream:
        return WatchStream(self.client.watch, self._metadata(user))

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
