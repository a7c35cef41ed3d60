"""Does: carries operations to one server as JSON over HTTP/1.1, through its gateway. Every watch is a request of its
own, whose answer does not end; a gateway has no way to cancel a watch but to hang up."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import json_format

from dualmode.api import etcdserverpb
from tests.differential.compare import Outcome
from tests.differential.methods import METHODS, SERVER_STREAMS
from tests.differential.operation import Operation
from tests.differential.transport import CALL_TIMEOUT_SECONDS, HistoryKeeper, Tokens
from tests.interop.grpc_client import Client

_STREAMS: Final = SERVER_STREAMS | {"LeaseKeepAlive"}
_WATCH_PATH: Final = "/v3/watch"


def body_of(message: Any) -> str:
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)


def parsed(answer: dict[str, Any], message: Any) -> Outcome:
    """The message of an answer; an answer that is not written as etcd writes JSON (numbers of 64 bits as strings,
    names of enums, no defaults, the proto's field names) is none."""
    json_format.ParseDict(answer, message)
    canonical = json_format.MessageToDict(message, preserving_proto_field_name=True)
    if canonical != answer:
        return Outcome(code=-1, text=f"not etcd's JSON: {json.dumps(answer)[:300]}")
    return Outcome(message)


def refused(error: dict[str, Any]) -> Outcome:
    """An error in either shape: of a unary call or of a stream."""
    inner = error.get("error")
    if isinstance(inner, dict):
        return Outcome(code=inner["grpc_code"], text=inner["message"])
    return Outcome(code=error["code"], text=error["message"])


class JsonTransport:
    """One HTTP/1.1 connection for calls. `client` (gRPC) empties the store before a run."""

    with_hash_kv = False
    are_watches_apart = True

    def __init__(self, target: str) -> None:
        self.client = Client(target)
        self.tokens = Tokens()
        self._target = target
        self._connection = http.client.HTTPConnection(target, timeout=CALL_TIMEOUT_SECONDS)

    def headers(self, user: str) -> dict[str, str]:
        token = self.tokens.get(user)
        return {"content-type": "application/json"} | ({"authorization": token} if token else {})

    def begin(self, operation: Operation) -> Callable[[], Outcome]:
        path = METHODS[operation.method].json_path
        body = body_of(operation.request).encode()
        self._connection.request("POST", path, body, self.headers(operation.user))

        def outcome() -> Outcome:
            try:
                return self._outcome(operation)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                return Outcome(code=-1, text=f"no answer: {error!r}")

        return outcome

    def _outcome(self, operation: Operation) -> Outcome:
        response = self._connection.getresponse()
        is_stream = operation.method in _STREAMS
        text = response.readline() if is_stream else response.read()
        if is_stream and not response.isclosed():
            if operation.method in SERVER_STREAMS:
                self._connection.close()  # the rest is not wanted
            else:
                response.read()
        answer = json.loads(text)
        if is_stream and "result" in answer:
            answer = answer["result"]
        elif response.status != 200 or "error" in answer:
            return refused(answer)
        return self.tokens.learn(operation, parsed(answer, METHODS[operation.method].response()))

    def open_watch(self, user: str) -> JsonWatches:
        return JsonWatches(self._target, self.headers(user))

    def close(self) -> None:
        self._connection.close()
        self.client.close()


class JsonWatches(HistoryKeeper):
    """Watches of one user, a connection each."""

    def __init__(self, target: str, headers: dict[str, str]) -> None:
        super().__init__()
        self._target = target
        self._headers = headers
        self._connections: dict[int, http.client.HTTPConnection] = {}

    def create(self, request: Any) -> Outcome:
        connection = self._connections[request.watch_id] = http.client.HTTPConnection(self._target, timeout=None)
        body = body_of(etcdserverpb.WatchRequest(create_request=request)).encode()
        seen = len(self.created)
        self.end = None
        connection.request("POST", _WATCH_PATH, body, self._headers)
        threading.Thread(target=self._collect, args=(connection,), daemon=True).start()
        if self.wait(lambda: len(self.created) > seen):
            return Outcome(self.created[seen])
        return Outcome(code=-1, text=f"no created response: {self.end or 'time is up'}")

    def _collect(self, connection: http.client.HTTPConnection) -> None:
        try:
            response = connection.getresponse()
            while line := response.readline():
                answer = json.loads(line)
                if "error" in answer:
                    self.ended(str(refused(answer)))
                    return
                outcome = parsed(answer["result"], etcdserverpb.WatchResponse())
                if outcome.response is None:
                    self.ended(outcome.text)
                    return
                self.take(outcome.response)
        except (OSError, AttributeError, ValueError, http.client.HTTPException):  # hung up under the reader
            pass

    def cancel(self, watch_id: int) -> Outcome:
        """Hangs up: nothing is answered."""
        connection = self._connections.pop(watch_id)
        hang_up(connection)
        return Outcome(etcdserverpb.WatchResponse())

    def progress(self) -> Outcome:
        raise NotImplementedError("a request body with one message has ended")

    def close(self) -> None:
        for connection in self._connections.values():
            hang_up(connection)


def hang_up(connection: http.client.HTTPConnection) -> None:
    """Ends a connection that another thread reads from."""
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    connection.close()
