"""The check of histories, on small ones written by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb
from dualmode.errors import RpcError
from tests.sim.history import Ending, Operation
from tests.sim.linearizability import LinearizabilityCheck
from tests.sim.model import Model
from tests.sim.trace import Violation


class Scene:
    """A store of one thread, its ledger, and what clients note of it. `act` does a request at once."""

    def __init__(self) -> None:
        self.model = Model()
        self.ledger: Any = SimpleNamespace(revision=1, commits={}, applied_at={})
        self.operations: list[Operation] = []
        self._states = {1: Model()}
        self._moment = 0

    def invoke(self, request: Any) -> Operation:
        self._moment += 1
        operation = Operation(len(self.operations), request, self._moment, 0.0)
        self.operations.append(operation)
        return operation

    def take_effect(self, operation: Operation) -> Any:
        past = getattr(operation.request, "revision", 0)
        response, changes = (self._states[past].copy() if past else self.model).execute(operation.request)
        self._states[self.model.revision] = self.model.copy()
        if changes:
            self.ledger.revision += 1
            self.ledger.commits[self.ledger.revision] = tuple(changes)
            self.ledger.applied_at[self.ledger.revision] = float(self._moment)
        response.header.revision = self.model.revision
        return response

    def answer(self, operation: Operation, response: Any) -> None:
        self._moment += 1
        operation.returned, operation.ending, operation.response = self._moment, Ending.DONE, response

    def act(self, request: Any) -> Operation:
        operation = self.invoke(request)
        self.answer(operation, self.take_effect(operation))
        return operation

    def lose(self, request: Any, has_effect: bool) -> Operation:
        operation = self.invoke(request)
        if has_effect:
            self.take_effect(operation)
        operation.ending = Ending.UNKNOWN
        return operation

    def put(self, key: bytes, lease: int = 0) -> Any:
        """Its value begins with the number that the next operation gets."""
        return pb.PutRequest(key=key, value=b"%d x" % len(self.operations), lease=lease)

    def check(self) -> LinearizabilityCheck:
        history: Any = SimpleNamespace(operations=self.operations)
        check = LinearizabilityCheck(history, self.ledger)
        check.run()
        return check


def read(key: bytes = b"k", **fields: Any) -> Any:
    return pb.RangeRequest(key=key, **fields)


def delete(key: bytes = b"k", range_end: bytes = b"") -> Any:
    return pb.DeleteRangeRequest(key=key, range_end=range_end)


def test_what_is_right() -> None:
    scene = Scene()
    scene.act(read())
    scene.act(scene.put(b"k"))
    scene.lose(scene.put(b"k"), has_effect=True)
    scene.lose(scene.put(b"k"), has_effect=False)
    scene.act(read())
    scene.act(read(revision=2))
    scene.act(delete())
    scene.act(delete())
    scene.act(pb.TxnRequest(success=[pb.RequestOp(request_put=scene.put(b"k")), pb.RequestOp(request_range=read())]))
    scene.lose(delete(), has_effect=True)
    scene.act(read(b"k", range_end=b"l"))
    scene.check()


def test_a_write_may_take_effect_long_after_it_was_given_up() -> None:
    scene = Scene()
    late = scene.lose(scene.put(b"k"), has_effect=False)
    scene.act(scene.put(b"k"))
    scene.act(read())
    scene.take_effect(late)
    scene.act(read())
    scene.check()


def stale_read(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    stale = scene.invoke(read())
    response = scene.model.copy().execute(stale.request)[0]
    response.header.revision = scene.model.revision
    scene.answer(stale, response)
    scene.act(scene.put(b"k"))
    again = scene.invoke(read())
    scene.answer(again, response)


def lost_write(scene: Scene) -> None:
    lost = scene.invoke(scene.put(b"k"))
    response = pb.PutResponse()
    response.header.revision = 2
    scene.answer(lost, response)
    scene.act(scene.put(b"k"))


def lost_last_write(scene: Scene) -> None:
    lost = scene.invoke(scene.put(b"k"))
    response = pb.PutResponse()
    response.header.revision = 2
    scene.answer(lost, response)


def done_twice(scene: Scene) -> None:
    twice = scene.lose(scene.put(b"k"), has_effect=True)
    scene.take_effect(twice)


def refused_and_done(scene: Scene) -> None:
    scene.lose(scene.put(b"k"), has_effect=True).ending = Ending.REFUSED


def wrong_value(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    wrong = scene.act(read())
    wrong.response.kvs[0].version = 2


def wrong_previous(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    request = scene.put(b"k")
    request.prev_kv = True
    scene.act(request).response.ClearField("prev_kv")


def wrong_branch(scene: Scene) -> None:
    compare = pb.Compare(key=b"k", target=pb.Compare.MOD, mod_revision=7)
    wrong = scene.act(pb.TxnRequest(compare=[compare], failure=[pb.RequestOp(request_range=read())]))
    wrong.response.succeeded = True


def nobody_deleted(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    scene.take_effect(Operation(99, delete(), 0, 0.0))


def deleted_once_too_often(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    once = scene.lose(delete(), has_effect=True)
    scene.act(scene.put(b"k"))
    scene.take_effect(once)


def deleted_by_who_came_later(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    scene.take_effect(Operation(99, delete(), 0, 0.0))
    scene.act(read())
    scene.lose(delete(), has_effect=False)


def write_before_it_was_asked_for(scene: Scene) -> None:
    early = Operation(0, scene.put(b"k"), 5, 0.0)
    scene.operations.append(early)
    scene.take_effect(early)
    scene.act(read())
    early.ending = Ending.UNKNOWN


def part_of_a_lease(scene: Scene) -> None:
    for key in (b"l/1", b"l/2"):
        scene.act(scene.put(key, lease=7))
    changes = scene.model.delete_keys([b"l/1"])
    scene.ledger.revision += 1
    scene.ledger.commits[scene.ledger.revision] = tuple(changes)
    scene.ledger.applied_at[scene.ledger.revision] = 1.0


def future(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    fail(scene, read(revision=2), errors.FUTURE_REVISION)


def compacted_by_nobody(scene: Scene) -> None:
    scene.act(scene.put(b"k"))
    fail(scene, read(revision=1), errors.COMPACTED)


def fail(scene: Scene, request: Any, error: RpcError) -> None:
    operation = scene.invoke(request)
    operation.ending, operation.error = Ending.REFUSED, error


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (stale_read, "was answered at 2 when 3 was known"),
        (lost_write, "both made revision 2"),
        (lost_last_write, "which nobody has"),
        (done_twice, "was done twice"),
        (refused_and_done, "was refused and made revision 2"),
        (wrong_value, "should be"),
        (wrong_previous, "should be"),
        (wrong_branch, "should be"),
        (nobody_deleted, "nobody asked for revision 3"),
        (deleted_once_too_often, "nobody asked for revision"),
        (deleted_by_who_came_later, "nobody asked for revision 3"),
        (write_before_it_was_asked_for, "when 2 was known"),
        (part_of_a_lease, "the end of lease 7"),
        (future, "is in the future"),
        (compacted_by_nobody, "nobody asked to compact"),
    ],
)
def test_what_is_wrong(spoil: Callable[[Scene], None], fault: str) -> None:
    scene = Scene()
    spoil(scene)
    with pytest.raises(Violation, match=fault):
        scene.check()


def test_deletions_find_their_requests_even_if_the_first_choice_was_wrong() -> None:
    scene = Scene()
    scene.act(scene.put(b"k1"))
    narrow = scene.lose(delete(b"k1"), has_effect=False)
    scene.lose(delete(b"k1", b"k3"), has_effect=True)  # the narrow one would have done as well
    scene.act(scene.put(b"k1"))
    scene.act(scene.put(b"k2"))
    scene.take_effect(narrow)  # only the narrow one leaves k2
    scene.check()


def test_the_end_of_a_lease_is_told() -> None:
    scene = Scene()
    scene.act(scene.put(b"l/1", lease=7))
    changes = scene.model.delete_keys([b"l/1"])
    scene.ledger.revision += 1
    scene.ledger.commits[3], scene.ledger.applied_at[3] = tuple(changes), 12.5
    assert scene.check().lease_ends == {7: 12.5}
    assert mvccpb.KeyValue.FromString(changes[0][2]).mod_revision == 3
