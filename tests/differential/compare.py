"""Decides: what differs between two answers to the same request, field by field.

Not compared: ids of cluster and member, terms (every server has its own). Compared with care: lease ids that the server
chose (mapped), records that a sort leaves in no particular order (etcd's sort is unstable: equal sort keys are compared
as a multiset), the remaining time of a lease (the calls are not made in the same instant).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from tests.differential.operation import Operation

#: Calls to the two servers lie a little apart, and a busy machine stretches that.
REMAINING_TTL_TOLERANCE_SECONDS: Final = 30
MAX_SHOWN_CHARACTERS: Final = 200
_LEASE_FIELDS: Final = frozenset(("lease", "ID"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A response, or a status code with its text."""

    response: Any = None
    code: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"error {self.code}: {self.text}" if self.response is None else shown(self.response)


def shown(value: Any) -> str:
    """One line, shortened."""
    text = " ".join(str(value).split()) if hasattr(value, "DESCRIPTOR") else repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}... ({len(text)} characters)"


def differences(operation: Operation, a: Outcome, b: Outcome, lease_ids: Mapping[int, int]) -> list[str]:
    """Each entry names a field and both values; none means equal. `lease_ids`: A's chosen ids -> B's."""
    if a.response is None or b.response is None:
        if (a.code, a.text) == (b.code, b.text) and (a.response is None) == (b.response is None):
            return []
        return [f"outcome: {a} != {b}"]
    for response in (a.response, b.response):
        _without_own(operation.method, response)
    if _without_identity(a.response) == _without_identity(b.response):
        return []
    comparison = Comparison(lease_ids)
    comparison.answer(operation.method, operation.request, a.response, b.response)
    return comparison.faults


def _without_identity(response: Any) -> Any:
    """Blanks what is every server's own, in place: nobody looks at it afterwards."""
    for name in ("cluster_id", "member_id", "raft_term"):
        response.header.ClearField(name)
    return response


def _without_own(method: str, response: Any) -> None:
    """Blanks the fields of one method that only say what that server is: its files, its log, its members' names."""
    match method:
        case "Status":
            kept = type(response)(errors=response.errors, isLearner=response.isLearner)
            kept.header.CopyFrom(response.header)
            kept.leader = int(response.leader == response.header.member_id)
            response.CopyFrom(kept)
        case "RoleGet":  # sorted by key, and that sort is unstable
            kept = sorted(response.perm, key=lambda it: (it.key, it.range_end))
            del response.perm[:]
            response.perm.extend(kept)
        case "Hash":
            response.ClearField("hash")  # of the file, whose layout differs between two etcds as well
        case "Snapshot":
            response.ClearField("blob")
            response.ClearField("remaining_bytes")
            response.ClearField("version")
        case "MemberList" | "MemberAdd" | "MemberRemove" | "MemberUpdate" | "MemberPromote":
            if method == "MemberAdd":
                response.member.ClearField("ID")
            # Itself, and learners that the work has added: a tested cluster may have more voters.
            own = [one for one in response.members if one.isLearner or response.header.member_id == one.ID]
            kept = sorted((member.isLearner, member.isLearner and member.peerURLs[0]) for member in own)
            del response.members[:]
            for is_learner, url in kept:
                response.members.add(isLearner=is_learner, peerURLs=[url] if url else [])


class Comparison:
    """Collects `faults` along a walk over two messages."""

    def __init__(self, lease_ids: Mapping[int, int]) -> None:
        self.faults: list[str] = []
        self._lease_ids = lease_ids

    def answer(self, method: str, request: Any, a: Any, b: Any) -> None:
        match method:
            case "Range":
                self.range("", request, a, b)
            case "Txn":
                self.txn("", request, a, b)
            case "LeaseLeases":
                expected = [self._lease_ids.get(lease.ID, lease.ID) for lease in a.leases]
                self._multiset("leases", expected, (lease.ID for lease in b.leases))
            case "LeaseTimeToLive":
                self.time_to_live(a, b)
            case _:
                self.message("", a, b)

    def message(self, path: str, a: Any, b: Any, skip: frozenset[str] = frozenset()) -> None:
        """All fields that are set on either side."""
        names = {descriptor.name for descriptor, _ in (*a.ListFields(), *b.ListFields())}
        for descriptor in a.DESCRIPTOR.fields:
            name = descriptor.name
            if name not in names or name in skip:
                continue
            here = f"{path}.{name}" if path else name
            if name == "header":
                self._value(f"{here}.revision", a.header.revision, b.header.revision)
            elif descriptor.is_repeated:
                self._sequence(here, getattr(a, name), getattr(b, name))
            elif descriptor.message_type is not None:
                if self._value(f"{here} is set", a.HasField(name), b.HasField(name)):
                    self.message(here, getattr(a, name), getattr(b, name))
            elif name in _LEASE_FIELDS:
                left = getattr(a, name)
                self._value(here, self._lease_ids.get(left, left), getattr(b, name))
            else:
                self._value(here, getattr(a, name), getattr(b, name))

    def range(self, path: str, request: Any, a: Any, b: Any) -> None:
        self.message(path, a, b, skip=frozenset(("kvs",)))
        here = f"{path}.kvs" if path else "kvs"
        if request.sort_order not in (0, 1, 2) or request.sort_target not in (1, 2, 3, 4):  # no sort, or by unique keys
            self._sequence(here, a.kvs, b.kvs)
            return
        if not self._value(f"{here} count", len(a.kvs), len(b.kvs)):
            return
        hidden = request.keys_only and request.sort_target == 4  # sorted by what is blanked in the answer

        def sort_key(kv: Any) -> Any:
            if hidden:
                return None
            return (kv.key, kv.version, kv.create_revision, kv.mod_revision, kv.value)[request.sort_target]

        if not self._value(f"{here} sort keys", [*map(sort_key, a.kvs)], [*map(sort_key, b.kvs)]):
            return
        start = 0
        for _, group in groupby(a.kvs, sort_key):
            size = sum(1 for _ in group)
            is_cut = a.more and start + size == len(a.kvs)  # which of equal ones were kept is anyone's choice
            if not is_cut:
                self._same_records(
                    f"{here}[{start}:{start + size}]", a.kvs[start : start + size], b.kvs[start : start + size]
                )
            start += size

    def _same_records(self, path: str, a: Any, b: Any) -> None:
        """Equal up to order."""
        for index, (left, right) in enumerate(zip(sorted(a, key=_key_of), sorted(b, key=_key_of), strict=True)):
            self.message(f"{path}(sorted)[{index}]", left, right)

    def txn(self, path: str, request: Any, a: Any, b: Any) -> None:
        self.message(path, a, b, skip=frozenset(("responses",)))
        here = f"{path}.responses" if path else "responses"
        branch = request.success if a.succeeded else request.failure
        if not self._value(f"{here} count", len(a.responses), len(b.responses)):
            return
        for index, (operation, left, right) in enumerate(zip(branch, a.responses, b.responses, strict=True)):
            kind = operation.WhichOneof("request").removeprefix("request_")
            spot = f"{here}[{index}].response_{kind}"
            if not self._value(f"{spot} kind", left.WhichOneof("response"), right.WhichOneof("response")):
                continue
            left, right = getattr(left, f"response_{kind}"), getattr(right, f"response_{kind}")
            if kind == "range":
                self.range(spot, operation.request_range, left, right)
            elif kind == "txn":
                self.txn(spot, operation.request_txn, left, right)
            else:
                self.message(spot, left, right)

    def time_to_live(self, a: Any, b: Any) -> None:
        self.message("", a, b, skip=frozenset(("TTL", "keys")))
        self._multiset("keys", a.keys, b.keys)  # etcd lists them in the order of a Go map, that is in none
        if a.TTL < 0 or b.TTL < 0 or abs(a.TTL - b.TTL) > REMAINING_TTL_TOLERANCE_SECONDS:
            self._value("TTL", a.TTL, b.TTL)

    def _sequence(self, path: str, a: Any, b: Any) -> None:
        if not self._value(f"{path} count", len(a), len(b)):
            return
        for index, (left, right) in enumerate(zip(a, b, strict=True)):
            if hasattr(left, "DESCRIPTOR"):
                self.message(f"{path}[{index}]", left, right)
            else:
                self._value(f"{path}[{index}]", left, right)

    def _multiset(self, path: str, a: Iterable[Any], b: Iterable[Any]) -> None:
        self._value(f"{path} (any order)", sorted(Counter(a).items()), sorted(Counter(b).items()))

    def _value(self, path: str, a: Any, b: Any) -> bool:
        if a != b:
            self.faults.append(f"{path}: {shown(a)} != {shown(b)}")
        return bool(a == b)


def _key_of(kv: Any) -> bytes:
    return bytes(kv.key)
