"""A few rounds of kill -9 under load; `python -m tests.interop.crash --rounds 100` does many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.crash import Ledger, check_log, check_pair, crash_rounds
from tests.interop.grpc_client import connect
from tests.interop.servers import Server
from tests.interop.tested import start_tested

pytestmark = pytest.mark.interop


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One of its own: it is killed."""
    with start_tested(tmp_path) as server:
        yield server


def test_nothing_acknowledged_is_lost_in_a_crash(server: Server) -> None:
    assert crash_rounds(server, rounds=4, seed=1) > 50


def test_the_check_sees_what_is_lost_and_what_is_torn(tested: Server) -> None:
    with connect(tested) as client:
        lost = Ledger("lost", log={1: 5})
        with pytest.raises(AssertionError, match="acknowledged puts are lost"):
            check_log(client, lost)
        client.Put(key=b"torn/left", value=b"1")
        with pytest.raises(AssertionError, match="the right key of the pair is lost"):
            check_pair(client, Ledger("torn", sent=1))
        client.Put(key=b"torn/right", value=b"1")
        with pytest.raises(AssertionError, match="half a transaction"):  # equal values, but two revisions
            check_pair(client, Ledger("torn", sent=1))
