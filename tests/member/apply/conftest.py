"""An applier on a real store in a temporary folder, driven as the replica drives it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.apply.alarms import Alarms
from dualmode.member.apply.applier import Applier
from dualmode.member.apply.transaction import Transaction
from dualmode.member.auth.assembly import AuthOptions, make_management
from dualmode.member.auth.caller import NOBODY, Caller
from dualmode.member.cluster.membership import Membership
from dualmode.member.headers import ResponseHeaders
from dualmode.member.lease.lessor import Lessor
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store


class Bench:
    """One applier, and the index of the next entry."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.lessor = Lessor(2)
        self.index = 0
        self.applier = Applier(
            store,
            self.lessor,
            Alarms(store),
            Membership(store),
            ResponseHeaders(1, 2),
            now=lambda: 0.0,
            management=make_management(store, AuthOptions(), lambda: 0.0),
        )

    def apply(self, kind: int, request: Any, response: Any, caller: Caller = NOBODY) -> Any:
        """The decoded answer, or the RpcError; each call is a pass of its own."""
        self.index += 1
        self.store.begin_pass()
        taken = Transaction(request) if kind == requests.TXN else request
        outcome = self.applier.apply(kind, taken, caller, self.index)
        self.store.end_pass(self.index, 1)
        return outcome if isinstance(outcome, RpcError) else response.FromString(outcome)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    backend = Backend.open(tmp_path / "store")
    yield Bench(Store(backend))
    backend.close()
