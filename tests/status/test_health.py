"""/health, /livez and /readyz."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode import errors
from dualmode.status.answers import Answer, query_of
from dualmode.status.checks import HealthChecks
from dualmode.status.health import HealthPage
from tests.rpc.fake_link import grpc_head
from tests.status.fake_facts import FakeFacts


def facts_with(**changes: Any) -> FakeFacts:
    facts = FakeFacts()
    for name, value in changes.items():
        setattr(facts, name, value)
    return facts


WELL = (200, b'{"health":"true","reason":""}')


def ill(reason: str) -> tuple[int, bytes]:
    return 503, b'{"health":"false","reason":"%b"}' % reason.encode()


@pytest.mark.parametrize(
    ("changes", "query", "answer", "reads"),
    [
        ({}, "", WELL, ["linearizable"]),
        ({}, "serializable=true", WELL, ["serializable"]),
        ({}, "serializable=false", WELL, ["linearizable"]),
        ({"has_leader": False}, "", ill("RAFT NO LEADER"), []),
        ({"has_leader": False}, "serializable=true", WELL, ["serializable"]),
        ({"alarms": ["NOSPACE"]}, "", ill("ALARM NOSPACE"), []),
        ({"alarms": ["CORRUPT", "NOSPACE"]}, "", ill("ALARM CORRUPT"), []),
        ({"alarms": ["NOSPACE", "CORRUPT"]}, "exclude=NOSPACE", ill("ALARM CORRUPT"), []),
        ({"alarms": ["NOSPACE", "CORRUPT"]}, "exclude=NOSPACE&exclude=CORRUPT", WELL, ["linearizable"]),
        (
            {"linearizable_error": errors.TIMEOUT},
            "",
            ill("RANGE ERROR:etcdserver: request timed out"),
            ["linearizable"],
        ),
        (
            {"serializable_error": errors.CORRUPT, "has_leader": False},
            "serializable=true",
            ill("RANGE ERROR:etcdserver: corrupt cluster"),
            ["serializable"],
        ),
    ],
)
async def test_health(changes: dict[str, Any], query: str, answer: tuple[int, bytes], reads: list[str]) -> None:
    facts = facts_with(**changes)
    page = HealthPage(facts)
    given = await page.answer(query_of(grpc_head(b"/health?" + query.encode())))
    assert (given.status, given.body) == answer
    assert given.content_type == "text/plain; charset=utf-8"
    assert facts.reads == reads
    assert (page.successes, page.failures) == ((1, 0) if given.status == 200 else (0, 1))


async def ask(facts: FakeFacts, path: str, query: str = "") -> Answer:
    return await HealthChecks(facts).pages()[path](query_of(grpc_head(b"/x?" + query.encode())))


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("/livez", "", "ok\n"),
        ("/livez", "verbose", "[+]serializable_read ok\nok\n"),
        ("/readyz", "", "ok\n"),
        (
            "/readyz",
            "verbose=true",
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n",
        ),
        (
            "/readyz",
            "verbose&exclude=linearizable_read&exclude=non_learner&exclude=what",
            "[+]data_corruption ok\n[+]serializable_read ok\nok\n",
        ),
        ("/readyz/non_learner", "verbose", "[+]non_learner ok\nok\n"),
        ("/livez/serializable_read", "exclude=serializable_read", "ok\n"),
    ],
)
async def test_checks_that_are_good(path: str, query: str, body: str) -> None:
    answer = await ask(FakeFacts(), path, query)
    assert (answer.status, answer.body.decode()) == (200, body)
    assert (b"x-content-type-options", b"nosniff") in answer.head.pairs


@pytest.mark.parametrize(
    ("changes", "path", "body"),
    [
        (
            {"alarms": ["CORRUPT"]},
            "/readyz",
            "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n[+]linearizable_read ok\n"
            "[+]non_learner ok\n\n",
        ),
        ({"is_learner": True}, "/readyz/non_learner", "[-]non_learner failed: not supported for learner\n\n"),
        (
            {"serializable_error": errors.STOPPED},
            "/livez",
            "[-]serializable_read failed: etcdserver: server stopped\n\n",
        ),
        (
            {"linearizable_error": errors.TIMEOUT},
            "/readyz/linearizable_read",
            "[-]linearizable_read failed: etcdserver: request timed out\n\n",
        ),
    ],
)
async def test_checks_that_fail(changes: dict[str, Any], path: str, body: str) -> None:
    answer = await ask(facts_with(**changes), path)
    assert (answer.status, answer.body.decode()) == (503, body)


@pytest.mark.parametrize("changes", [{"alarms": ["NOSPACE"]}, {"has_leader": False, "is_learner": True}])
async def test_what_does_not_matter_to_liveness(changes: dict[str, Any]) -> None:
    assert (await ask(facts_with(**changes), "/livez")).status == 200


async def test_results_are_counted() -> None:
    facts = FakeFacts()
    checks = HealthChecks(facts)
    page = checks.pages()["/livez"]
    assert checks.last["livez", "serializable_read"] == 0
    await page({})
    assert checks.last["livez", "serializable_read"] == 1
    facts.serializable_error = errors.STOPPED
    await page({})
    await page({})
    assert checks.last["livez", "serializable_read"] == 0
    assert checks.totals["livez", "serializable_read", "success"] == 1
    assert checks.totals["livez", "serializable_read", "error"] == 2
    assert checks.totals["readyz", "non_learner", "error"] == 0


def test_a_query_of_too_many_fields_is_none() -> None:
    assert query_of(grpc_head(b"/health?" + b"&".join(b"exclude=x" for _ in range(1000)))) == {}
