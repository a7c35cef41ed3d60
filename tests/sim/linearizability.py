"""Decides: whether what clients were told is what one etcd, doing one request after the other, could have told them.

A history is linearizable when its operations can be put into one order that (1) is a run of the sequential store, with
these very answers, and (2) has every operation between its invocation and its return (Herlihy and Wing). Searching for
that order is hard in general. Here the answers name it: every answer says at which revision it was given, every write
makes one revision, so there is one candidate, and it only needs to be checked:

    the write that made revision 2, the reads that were answered at revision 2, the write that made revision 3 ...

(1) is checked by running that order through the model: each revision is what its request does to the state before,
byte for byte as the members have it in their ledger, and each answer is the model's. A request that was not answered
may stand in the order (its write is found in the ledger, by the number in its value) or not. (2) holds if no operation
stands before one that had returned before it was invoked: for that it is enough to hold the revision of each one
against the highest revision of all that had returned by then: a write must stand above it, a read not below. Among the
reads of one revision any order will do.

So what passes is linearizable. And what does not pass is not: a revision is a part of the answer, so no other order
would give these answers. "No acknowledged write is lost" is a part of this: an acknowledged write must be the one that
made its revision, in a ledger which the members' stores are held against at the end.

Deletions carry no value. A revision of deletions that nobody was answered for was made by one of the requests that are
unknown, would have had just this effect, and were invoked early enough. Whether all such revisions can have a request
of their own is a matching in a bipartite graph; any will do, since these requests have no upper bound in time.
"""

from __future__ import annotations

from typing import Any

from dualmode import errors
from dualmode.api import etcdserverpb as pb
from dualmode.api import mvccpb
from tests.sim.history import Ending, History, Operation
from tests.sim.ledger import Changes, Ledger
from tests.sim.model import Model, without_headers
from tests.sim.trace import Violation

#: Keys under this prefix are deleted by the end of their leases only.
LEASED = b"l/"


class LinearizabilityCheck:
    """`run` raises Violation. Afterwards `lease_ends` has when leases took keys with them."""

    def __init__(self, history: History, ledger: Ledger) -> None:
        self._operations = history.operations
        self._ledger = ledger
        #: Lease id -> when the first member deleted its keys.
        self.lease_ends: dict[int, float] = {}
        #: Revision -> the answered operation that says it made it.
        self._made: dict[int, Operation] = {}
        #: Operation number -> the revision it made.
        self._revisions: dict[int, int] = {}
        self._answered_at: dict[int, list[Operation]] = {}
        self._states: dict[int, Model] = {}
        #: Operation number -> the highest revision that anybody had been told when it was invoked.
        self._known: dict[int, int] = {}
        #: Revision of deletions -> the requests that may have made it.
        self._makers: dict[int, list[Operation]] = {}

    def run(self) -> None:
        """Checks the whole history."""
        self._sort_answers()
        self._note_known()
        model = Model()
        self._look_at_answers(model)
        for revision in range(2, self._ledger.revision + 1):
            self._make(model, revision)
            self._look_at_answers(model)
        self._match_makers()
        for operation in self._operations:
            self._check_place(operation, self._known[operation.number])

    # --- (1) The sequential store -------------------------------------------------------------------------------

    def _sort_answers(self) -> None:
        for operation in self._operations:
            if operation.ending is not Ending.DONE:
                continue
            revision = operation.response.header.revision
            if not 1 <= revision <= self._ledger.revision:
                raise Violation(f"{operation} was answered at revision {revision}, which nobody has")
            if not _has_written(operation.response):
                self._answered_at.setdefault(revision, []).append(operation)
            elif revision in self._made:
                raise Violation(f"{operation} and {self._made[revision]} both made revision {revision}")
            else:
                self._made[revision] = operation

    def _make(self, model: Model, revision: int) -> None:
        changes = self._ledger.commits[revision]
        answered = self._made.get(revision)
        operation = self._maker(changes) or answered
        if answered is not None and operation is not answered:
            raise Violation(f"{answered} is lost: revision {revision} is {changes}")
        if operation is None:
            self._delete(model, revision, changes)
            return
        if operation.ending is Ending.REFUSED:
            raise Violation(f"{operation} was refused and made revision {revision} all the same")
        if operation.number in self._revisions:
            raise Violation(f"{operation} was done twice: {self._revisions[operation.number]} and {revision}")
        self._revisions[operation.number] = revision
        response, made = model.execute(operation.request)
        if tuple(made) != changes:
            raise Violation(f"{operation} at revision {revision}: the store has {changes}, the model {made}")
        if operation.ending is Ending.DONE:
            self._compare(operation, response)

    def _maker(self, changes: Changes) -> Operation | None:
        """By the number that each value begins with."""
        numbers = {int(_value(kv).split(b" ")[0]) for _, is_delete, kv in changes if not is_delete}
        if len(numbers) > 1:
            raise Violation(f"one revision with the values of operations {numbers}")
        return self._operations[numbers.pop()] if numbers else None

    def _delete(self, model: Model, revision: int, changes: Changes) -> None:
        """Deletions that nobody was answered for."""
        keys = [key for key, _, _ in changes]
        if all(key.startswith(LEASED) for key in keys):
            self._end_lease(model, revision, changes)
            return
        self._makers[revision] = [
            operation
            for operation in self._operations
            if operation.ending in (Ending.UNKNOWN, Ending.PENDING)
            and isinstance(operation.request, pb.DeleteRangeRequest)
            and self._known[operation.number] < revision
            and tuple(model.copy().execute(operation.request)[1]) == changes
        ]
        model.delete_keys(keys)

    def _match_makers(self) -> None:
        """Kuhn's algorithm: a revision takes a request from another one that can take a further one."""
        taken: dict[int, int] = {}

        def find(revision: int, tried: set[int]) -> bool:
            for operation in self._makers[revision]:
                number = operation.number
                if number not in tried:
                    tried.add(number)
                    if number not in taken or find(taken[number], tried):
                        taken[number] = revision
                        return True
            return False

        for revision in self._makers:
            if not find(revision, set()):
                raise Violation(f"nobody asked for revision {revision}: {self._ledger.commits[revision]}")
        self._revisions |= taken

    def _end_lease(self, model: Model, revision: int, changes: Changes) -> None:
        leases = {model.keys[key].lease for key, _, _ in changes if key in model.keys}
        if len(leases) != 1 or 0 in leases:
            raise Violation(f"revision {revision} deletes keys of leases {leases}: {changes}")
        lease_id = leases.pop()
        made = model.delete_keys(model.keys_of_lease(lease_id))
        if tuple(made) != changes:
            raise Violation(f"the end of lease {lease_id:x} at {revision}: {changes}, should be {made}")
        self.lease_ends[lease_id] = self._ledger.applied_at[revision]

    def _look_at_answers(self, model: Model) -> None:
        self._states[model.revision] = model.copy()
        for operation in self._answered_at.get(model.revision, ()):
            request = operation.request
            if isinstance(request, pb.CompactionRequest):
                continue
            state = self._states[getattr(request, "revision", 0) or model.revision].copy()
            response, made = state.execute(request)
            if made:
                raise Violation(f"{operation} says that it changed nothing at {model.revision}, the model {made}")
            self._compare(operation, response)

    def _compare(self, operation: Operation, response: Any) -> None:
        got = without_headers(operation.response)
        if got != response:
            raise Violation(f"{operation}: answered {str(got).split()}, should be {str(response).split()}")

    # --- (2) Real time ------------------------------------------------------------------------------------------

    def _note_known(self) -> None:
        moments: list[tuple[int, bool, Operation]] = []
        for operation in self._operations:
            moments.append((operation.invoked, False, operation))
            if operation.ending is Ending.DONE:
                moments.append((operation.returned, True, operation))
        highest = 1
        for _, is_return, operation in sorted(moments, key=lambda moment: moment[0]):
            if is_return:
                highest = max(highest, operation.response.header.revision)
            else:
                self._known[operation.number] = highest

    def _check_place(self, operation: Operation, known: int) -> None:
        """Revision `known` had been told to somebody when this was invoked."""
        made = self._revisions.get(operation.number)
        if made is not None and made <= known:
            raise Violation(f"{operation} made revision {made} when {known} was known already")
        if made is None and operation.ending is Ending.DONE and not getattr(operation.request, "serializable", False):
            answered_at = operation.response.header.revision
            if answered_at < known:
                raise Violation(f"{operation} was answered at {answered_at} when {known} was known")
        if operation.error is not None:
            self._check_error(operation, known)

    def _check_error(self, operation: Operation, known_revision: int) -> None:
        """A past revision may be gone by compaction only, and one that was known cannot be in the future."""
        wanted = getattr(operation.request, "revision", 0)
        if operation.error == errors.FUTURE_REVISION and wanted <= known_revision:
            raise Violation(f"{operation}: revision {wanted} is in the future, but {known_revision} was known")
        if operation.error == errors.COMPACTED and not isinstance(operation.request, pb.CompactionRequest):
            compactions = [one.request for one in self._operations if isinstance(one.request, pb.CompactionRequest)]
            if all(one.revision <= wanted for one in compactions):
                raise Violation(f"{operation}: nobody asked to compact {wanted}")


def _has_written(response: Any) -> bool:
    if isinstance(response, pb.PutResponse):
        return True
    if isinstance(response, pb.DeleteRangeResponse):
        return bool(response.deleted)
    if isinstance(response, pb.TxnResponse):
        return any(_has_written(getattr(part, part.WhichOneof("response"))) for part in response.responses)
    return False


def _value(kv: bytes) -> bytes:
    return bytes(mvccpb.KeyValue.FromString(kv).value)
