"""The check of watches, on responses written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb
from tests.sim.ledger import Ledger
from tests.sim.trace import Trace, Violation
from tests.sim.watch_check import WatchCheck


def kv(key: bytes, revision: int) -> Any:
    return mvccpb.KeyValue(key=key, mod_revision=revision, create_revision=revision, version=1, value=b"v")


@pytest.fixture
def check() -> WatchCheck:
    """Revisions 2 to 6 put k1, except 4, which puts k1 and k2 and x."""
    ledger = Ledger(Trace())
    for revision in range(2, 7):
        keys = (b"k1", b"k2", b"x") if revision == 4 else (b"k1",)
        ledger.commits[revision] = tuple((key, False, kv(key, revision).SerializeToString()) for key in keys)
    return WatchCheck(ledger, b"k", b"l", 2, ())


def response(revision: int, *events: tuple[bytes, int], **fields: Any) -> Any:
    told = [mvccpb.Event(type=mvccpb.Event.PUT, kv=kv(key, at)) for key, at in events]
    return pb.WatchResponse(header=pb.ResponseHeader(revision=revision), events=told, **fields)


K2, K3, K5 = (b"k1", 2), (b"k1", 3), (b"k1", 5)
K4 = ((b"k1", 4), (b"k2", 4))


def test_what_is_right(check: WatchCheck) -> None:
    check.take(response(9, created=True))
    check.take(response(3, K2, K3))
    check.take(response(3))
    check.take(response(5, *K4, K5))
    assert (check.next_revision, check.events) == (6, 5)
    check.take(response(0, canceled=True, compact_revision=7))
    assert check.next_revision == 7


@pytest.mark.parametrize(
    "responses",
    [
        pytest.param([response(3, K3, K2)], id="out of order"),
        pytest.param([response(2, K2), response(3, K2, K3)], id="twice"),
        pytest.param([response(3, K3)], id="left out"),
        pytest.param([response(4, K2, K3, K4[0])], id="torn apart"),
        pytest.param([response(3, K2)], id="too early a bookmark"),
        pytest.param([response(3)], id="progress before events"),
        pytest.param([response(7, K2, K3, *K4, K5, (b"k1", 6))], id="a revision that nobody has"),
        pytest.param([response(4, K2, K3, *K4, (b"x", 4))], id="of another key"),
        pytest.param([response(0, canceled=True)], id="canceled for nothing"),
        pytest.param([response(0, canceled=True, compact_revision=2)], id="canceled for what it needs not"),
    ],
)
def test_what_is_wrong(check: WatchCheck, responses: list[Any]) -> None:
    *right, wrong = responses
    for one in right:
        check.take(one)
    with pytest.raises(Violation):
        check.take(wrong)


def test_filters(check: WatchCheck) -> None:
    WatchCheck(check._ledger, b"k1", b"", 2, (pb.WatchCreateRequest.NOPUT,)).take(response(6))
    no_deletions = WatchCheck(check._ledger, b"k1", b"", 2, (pb.WatchCreateRequest.NODELETE,))
    with pytest.raises(Violation):
        no_deletions.take(response(6))
