"""Elections and locks over grpcio and JSON: the tested server and etcd are told the same and must answer the same.

Leases have given ids, so that keys are the same on both sides.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from dualmode.api import v3electionpb, v3lockpb
from tests.interop.conftest import Farm
from tests.interop.grpc_client import Client, connect, start_afresh
from tests.interop.servers import Server

pytestmark = pytest.mark.interop

PACKAGES = {"Election": v3electionpb, "Lock": v3lockpb}
SERVICES = {"Lock": "Lock", "Unlock": "Lock"}
TIMEOUT_SECONDS = 10.0
#: The deadline of calls that shall miss it, and that even a busy machine shall have begun to serve by then.
LATE_SECONDS = 2.0


class Recipes:
    """The calls of both services on one server. A header counts by its revision alone, from that of the start."""

    def __init__(self, client: Client, start_revision: int) -> None:
        self.client = client
        self._start_revision = start_revision

    def _stub(self, method: str, make: str, request: str, response: str) -> Any:
        service = SERVICES.get(method, "Election")
        package = PACKAGES[service]
        return getattr(self.client.channel, make)(
            f"/v3{service.lower()}pb.{service}/{method}",
            request_serializer=getattr(package, request).SerializeToString,
            response_deserializer=getattr(package, response).FromString,
        )

    def begin(self, method: str, timeout_seconds: float = TIMEOUT_SECONDS, **fields: Any) -> Any:
        package = PACKAGES[SERVICES.get(method, "Election")]
        stub = self._stub(method, "unary_unary", f"{method}Request", f"{method}Response")
        return stub.future(getattr(package, f"{method}Request")(**fields), timeout=timeout_seconds)

    def outcome(self, future: Any) -> Any:
        try:
            return self.plain(future.result())
        except grpc.RpcError as error:
            return error.code(), error.details()

    def call(self, method: str, timeout_seconds: float = TIMEOUT_SECONDS, **fields: Any) -> Any:
        return self.outcome(self.begin(method, timeout_seconds, **fields))

    def observe(self, name: bytes) -> Any:
        request = v3electionpb.LeaderRequest(name=name)
        return self._stub("Observe", "unary_stream", "LeaderRequest", "LeaderResponse")(
            request, timeout=TIMEOUT_SECONDS
        )

    def plain(self, answer: Any) -> str:
        """An answer as text that must be the same on both sides."""
        answer.header.cluster_id = answer.header.member_id = answer.header.raft_term = 0
        answer.header.revision -= self._start_revision
        return str(answer)

    def until_keys(self, count: int) -> list[bytes]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            keys = [kv.key for kv in self.client.Range(key=b"\0", range_end=b"\0").kvs]
            if len(keys) == count:
                return keys
            time.sleep(0.01)
        raise AssertionError(f"{keys} are not {count}")


def errors(recipes: Recipes) -> Iterator[Any]:
    leader = v3electionpb.LeaderKey(name=b"e", key=b"e/1", rev=1, lease=1)
    yield recipes.call("Leader", name=b"e")
    yield recipes.call("Campaign", name=b"e", lease=999, value=b"v")
    yield recipes.call("Lock", name=b"e", lease=999)
    yield recipes.call("Lock", name=b"e", lease=-5)
    yield recipes.call("Proclaim", value=b"v")
    yield recipes.call("Resign")
    yield recipes.call("Resign", leader=leader)
    yield recipes.call("Proclaim", leader=leader, value=b"v")
    leader.key = b""
    yield recipes.call("Resign", leader=leader)
    yield recipes.call("Proclaim", leader=leader, value=b"v")
    yield recipes.call("Unlock")
    yield recipes.call("Unlock", key=b"nothing")


def locks(recipes: Recipes) -> Iterator[Any]:
    for lease in (1, 2, 3):
        recipes.client.LeaseGrant(ID=lease, TTL=60)
    yield recipes.call("Lock", name=b"m", lease=1)
    yield recipes.call("Lock", name=b"m", lease=1)
    second = recipes.begin("Lock", name=b"m", lease=2)
    yield recipes.until_keys(2)
    third = recipes.begin("Lock", name=b"m", lease=3)
    yield recipes.until_keys(3)
    yield recipes.call("Unlock", key=b"m/1")
    yield recipes.outcome(second)
    recipes.client.LeaseRevoke(ID=2)
    yield recipes.outcome(third)


def callers_who_go(recipes: Recipes) -> Iterator[Any]:
    for lease in (1, 2, 3):
        recipes.client.LeaseGrant(ID=lease, TTL=60)
    yield recipes.call("Lock", name=b"m", lease=1)
    yield recipes.call("Campaign", name=b"e", lease=1, value=b"1")
    late = [
        recipes.begin("Lock", LATE_SECONDS, name=b"m", lease=2),
        recipes.begin("Campaign", LATE_SECONDS, name=b"e", lease=2, value=b"2"),
    ]
    yield recipes.until_keys(4)  # both wait in the store, so that their end is written too
    yield [type(recipes.outcome(one)) for one in late]  # who says first that it is late is a race
    yield recipes.until_keys(2)
    canceled = recipes.begin("Lock", name=b"m", lease=3)
    yield recipes.until_keys(3)
    canceled.cancel()
    yield recipes.until_keys(2)
    yield recipes.call("Unlock", key=b"m/1")


def a_lease_ends(recipes: Recipes) -> Iterator[Any]:
    for lease in (1, 2):
        recipes.client.LeaseGrant(ID=lease, TTL=60)
    yield recipes.call("Lock", name=b"m", lease=1)
    waiting = recipes.begin("Lock", name=b"m", lease=2)
    yield recipes.until_keys(2)
    recipes.client.LeaseRevoke(ID=2)
    recipes.client.LeaseRevoke(ID=1)
    yield recipes.outcome(waiting)


def elections(recipes: Recipes) -> Iterator[Any]:
    for lease in (1, 2):
        recipes.client.LeaseGrant(ID=lease, TTL=60)
    observed = recipes.observe(b"e")
    leader = recipes.begin("Campaign", name=b"e", lease=1, value=b"1").result().leader
    yield recipes.plain(next(observed))
    yield recipes.call("Campaign", name=b"e", lease=1, value=b"1")
    yield recipes.call("Campaign", name=b"e", lease=1, value=b"2")
    yield recipes.plain(next(observed)).replace("header", "")
    waiting = recipes.begin("Campaign", name=b"e", lease=2, value=b"3")
    yield recipes.until_keys(2)
    yield recipes.call("Proclaim", leader=leader, value=b"4")
    yield recipes.plain(next(observed)).replace("header", "")
    yield recipes.call("Leader", name=b"e")
    yield recipes.call("Resign", leader=leader)
    yield recipes.outcome(waiting)
    yield recipes.plain(next(observed))
    yield recipes.call("Resign", leader=leader)
    yield recipes.call("Proclaim", leader=leader, value=b"5")
    observed.cancel()


def sessions_without_a_lease(recipes: Recipes) -> Iterator[Any]:
    leader = recipes.begin("Campaign", name=b"e", value=b"1").result().leader
    key = recipes.begin("Lock", name=b"m").result().key
    yield leader.key == b"e/%x" % leader.lease
    lives = [recipes.client.LeaseTimeToLive(ID=one) for one in (leader.lease, int(key.split(b"/")[1], 16))]
    yield [life.grantedTTL for life in lives]
    leader.lease = 0
    yield recipes.call("Proclaim", leader=leader, value=b"2")
    yield recipes.call("Resign", leader=leader)
    yield len(recipes.client.LeaseLeases().leases)


Scenario = Callable[[Recipes], Iterator[Any]]
SCENARIOS: tuple[Scenario, ...] = (
    errors,
    locks,
    callers_who_go,
    a_lease_ends,
    elections,
    sessions_without_a_lease,
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_over_grpc(farm: Farm, scenario: Scenario) -> None:
    with connect(farm.etcd()) as etcd, connect(farm.tested()) as tested:
        start_revision = start_afresh(etcd, tested)
        expected = list(scenario(Recipes(etcd, _revision(etcd, start_revision))))
        assert list(scenario(Recipes(tested, _revision(tested, start_revision)))) == expected


def _revision(client: Client, at_least: int) -> int:
    revision = int(client.Range(key=b"none").header.revision)
    assert revision >= at_least
    return revision


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def post(server: Server, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.target, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    if isinstance(answer, dict):
        answer.pop("header", None)
        if "code" in answer:  # the shape of errors is another in etcd 3.6's gateway, and has tests of its own
            answer = {"code": answer["code"], "message": answer["message"]}
    return response.status, answer


def over_json(server: Server) -> list[Any]:
    leader = {"name": encoded("e"), "key": encoded("e/1"), "lease": "1"}
    answers = [
        post(server, "/v3/lease/grant", {"ID": "1", "TTL": "60"})[0],
        post(server, "/v3/election/leader", {"name": encoded("e")}),
        post(server, "/v3/lock/lock", {"name": encoded("m"), "lease": "1"}),
        post(server, "/v3/lock/unlock", {"key": encoded("m/1")}),
        post(server, "/v3/lock/unlock", {}),
    ]
    status, won = post(server, "/v3/election/campaign", {"name": encoded("e"), "lease": "1", "value": encoded("v")})
    leader["rev"] = won["leader"].pop("rev")
    answers += [(status, won), post(server, "/v3/election/proclaim", {"leader": leader, "value": encoded("w")})]
    status, leads = post(server, "/v3/election/leader", {"name": encoded("e")})
    for name in ("create_revision", "mod_revision"):
        leads["kv"].pop(name)
    answers += [(status, leads), post(server, "/v3/election/resign", {"leader": leader})]
    return answers


def test_over_json(farm: Farm) -> None:
    with connect(farm.etcd()) as etcd, connect(farm.tested()) as tested:
        start_afresh(etcd, tested)
    assert over_json(farm.tested()) == over_json(farm.etcd())
