"""Does: carries operations to one server as JSON over HTTP/1.1, through its gateway. Watches stay with gRPC: a gateway
takes one watch for each HTTP request and has no way to cancel it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import json_format

from dualmode.api import etcdserverpb
from tests.differential.compare import Outcome
from tests.differential.operations import Operation
from tests.differential.transport import CALL_TIMEOUT_SECONDS, WatchStream
from tests.interop.grpc_client import UNARY, Client

_PATHS: Final = {
    "Range": "/v3/kv/range",
    "Put": "/v3/kv/put",
    "DeleteRange": "/v3/kv/deleterange",
    "Txn": "/v3/kv/txn",
    "Compact": "/v3/kv/compaction",
    "LeaseGrant": "/v3/lease/grant",
    "LeaseRevoke": "/v3/lease/revoke",
    "LeaseTimeToLive": "/v3/lease/timetolive",
    "LeaseLeases": "/v3/lease/leases",
    "LeaseKeepAlive": "/v3/lease/keepalive",
}


class JsonTransport:
    """One HTTP/1.1 connection. `client` (gRPC) empties the store before a run."""

    with_watches = False

    def __init__(self, target: str) -> None:
        self.client = Client(target)
        self._connection = http.client.HTTPConnection(target, timeout=CALL_TIMEOUT_SECONDS)

    def begin(self, operation: Operation) -> Callable[[], Outcome]:
        body = json_format.MessageToJson(operation.request, preserving_proto_field_name=True, indent=None)
        self._connection.request("POST", _PATHS[operation.method], body, {"content-type": "application/json"})
        return lambda: self._outcome(operation.method)

    def _outcome(self, method: str) -> Outcome:
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if method == "LeaseKeepAlive" and "result" in answer:
            answer = answer["result"]
        if response.status != 200:
            return Outcome(code=answer["code"], text=answer["message"])
        return Outcome(json_format.ParseDict(answer, _response_class(method)()))

    def open_watch(self) -> WatchStream:
        raise NotImplementedError("watches are compared over gRPC")

    def close(self) -> None:
        self._connection.close()
        self.client.close()


def _response_class(method: str) -> Any:
    name = "LeaseKeepAliveResponse" if method == "LeaseKeepAlive" else UNARY[method][2]
    return getattr(etcdserverpb, name)
