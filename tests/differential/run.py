"""Does: one run: draws or replays operations, sends each to both servers, stops at the first difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from tests.differential.afresh import can_change_members, has_auth_status, member_ids, start_afresh
from tests.differential.compare import Comparison, Outcome, differences, shown
from tests.differential.history import line_of
from tests.differential.known import explanation
from tests.differential.operation import Operation
from tests.differential.operations import Draw, World
from tests.differential.services import LEADER_REVISION, LEARNER_ID, SELF_ID
from tests.differential.transport import Transport, Watches, wait_until

#: Watches are compared at every so many operations, and at the end.
CHECKPOINT_OPERATIONS: Final = 1000
WATCH_SETTLE_SECONDS: Final = 10.0
#: etcd replays history to a watch in rounds of 100 ms; nothing new for longer than that means it has caught up.
QUIET_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Difference:
    """`index` counts operations from 0; `faults` names what differs."""

    index: int
    operation: Operation
    faults: list[str]

    def __str__(self) -> str:
        return f"operation {self.index}: {line_of(self.operation)[:500]}\n" + "\n".join(
            f"  {it}" for it in self.faults[:20]
        )


@dataclass
class Report:
    """What a run did. `history` replays it."""

    seed: int | None
    difference: Difference | None = None
    history: list[Operation] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)  #: "Put", "Put: etcdserver: key is not provided" ...
    known: Counter[str] = field(default_factory=Counter)
    events: int = 0

    def history_lines(self) -> Iterator[str]:
        yield f"# seed {self.seed}"
        yield from map(line_of, self.history)


class Run:
    """One run of two servers that hold nothing and stand at the same revision, compacted there (`start_afresh`)."""

    def __init__(self, a: Transport, b: Transport, seed: int | None, revision: int) -> None:
        self._transports = (a, b)
        self._streams: dict[int, tuple[Watches, Watches]] = {}
        self._lease_ids: dict[int, int] = {}
        #: Placeholders -> what each side has in their place.
        self._own_ids: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for own, member in zip(self._own_ids, member_ids(a.client, b.client), strict=True):
            own[SELF_ID] = member
        self.world = World(
            revision,
            compacted=revision,
            attach_assigned_leases=seed is not None and seed % 2 == 0,
            with_hash_kv=a.with_hash_kv and b.with_hash_kv,
            are_watches_apart=a.are_watches_apart,
            is_basic=not all(has_auth_status(it.client) for it in (a, b)),
            with_member_changes=all(can_change_members(it.client) for it in (a, b)),
        )
        self.report = Report(seed)

    def draw(self, count: int) -> Report:
        """`count` operations from the seed."""
        draw = Draw(Random(self.report.seed), self.world)
        while len(self.report.history) < count and self.report.difference is None:
            for operation in draw.operations():
                if self.report.difference is None:
                    self.step(operation)
        return self.finish()

    def replay(self, operations: Iterator[Operation]) -> Report:
        for operation in operations:
            self.step(operation)
            if self.report.difference is not None:
                break
        return self.finish()

    def finish(self) -> Report:
        if self.report.difference is None:
            self.compare_watches()
        for pair in self._streams.values():
            for stream in pair:
                stream.close()
        return self.report

    def step(self, operation: Operation) -> None:
        if operation.method == "Observe" and not self.world.has_leader:
            return  # it would wait for one
        index = len(self.report.history)
        self.report.history.append(operation)
        if operation.method.startswith("Watch"):
            a, b = self._watch(operation)
        else:
            if operation.method == "Compact":
                # A server looks a previous record up when it sends an event: a compaction in between takes it away.
                self._let_arrive()
            a, b = self._ask(operation)
            if operation.method == "HashKV" and _hash(a) != _hash(b):
                # etcd 3.5.1 counts records that a compaction under way has yet to delete; it agrees when that is done.
                wait_until(lambda: _hash_pair_agrees(self._ask(operation)), WATCH_SETTLE_SECONDS)
                a, b = self._ask(operation)
        self.report.answers[operation.method + (f": {a.text}" if a.response is None else "")] += 1
        self._note_learner(operation, a, b)
        faults = differences(operation, a, b, {**self._lease_ids, **self._granted(operation, a, b)})
        if faults and (known := explanation(operation, a, b)):
            self.report.known[known.name] += 1
        elif faults:
            self.report.difference = Difference(index, operation, faults)
            return
        self._learn(operation, a, b)
        if index % CHECKPOINT_OPERATIONS == CHECKPOINT_OPERATIONS - 1:
            self.compare_watches()

    def _ask(self, operation: Operation) -> tuple[Outcome, Outcome]:
        """Both at once."""
        pending = tuple(it.begin(self._for_side(side, operation)) for side, it in enumerate(self._transports))
        a, b = (outcome() for outcome in pending)
        return a, b

    def _note_learner(self, operation: Operation, a: Outcome, b: Outcome) -> None:
        """Before the comparison, which leaves ids out."""
        if operation.method == "MemberAdd":
            for own, outcome in zip(self._own_ids, (a, b), strict=True):
                if outcome.response is not None:
                    own[LEARNER_ID] = outcome.response.member.ID

    # --- leases whose ids the servers chose --------------------------------------------------------------------

    @staticmethod
    def _granted(operation: Operation, a: Outcome, b: Outcome) -> dict[int, int]:
        if operation.method != "LeaseGrant" or operation.request.ID or a.response is None or b.response is None:
            return {}
        return {a.response.ID: b.response.ID}

    def _for_side(self, side: int, operation: Operation) -> Operation:
        """The same request with the ids that one side has: placeholders, and B's leases in place of A's."""
        names = self._own_ids[side] | (self._lease_ids if side else {})
        request = type(operation.request)()
        request.CopyFrom(operation.request)
        _translate(request, names)
        return replace(operation, request=request)

    # --- what the answers tell ---------------------------------------------------------------------------------

    def _learn(self, operation: Operation, a: Outcome, b: Outcome) -> None:
        world, request = self.world, operation.request
        if operation.method == "Campaign":
            world.has_leader = a.response is not None
        if a.response is None or b.response is None:
            return
        world.accounts.learn(operation)
        match operation.method:
            case "Campaign":
                for own, outcome in zip(self._own_ids, (a, b), strict=True):
                    own[LEADER_REVISION] = outcome.response.leader.rev
                world.revision = a.response.header.revision
            case "Put" | "DeleteRange" | "Txn" | "Range" | "Lock" | "Unlock" | "Proclaim" | "Resign":
                world.revision = a.response.header.revision
            case "Compact":
                world.compacted = request.revision
            case "LeaseGrant" if request.ID == 0:
                self._lease_ids.update(self._granted(operation, a, b))
                world.assigned_leases.append(a.response.ID)
            case "LeaseGrant":
                world.leases.add(request.ID)
            case "LeaseRevoke":
                world.revision = a.response.header.revision
                world.leases.discard(request.ID)
                if request.ID in world.assigned_leases:
                    world.assigned_leases.remove(request.ID)
            case "WatchCreate":
                world.next_watch_id = max(world.next_watch_id, request.watch_id + 1)
                if not a.response.canceled:
                    start = request.start_revision
                    world.watches[operation.stream, request.watch_id] = -1 if 0 < start <= world.compacted else start
            case "WatchCancel":
                world.watches.pop((operation.stream, request.watch_id), None)

    # --- watches -------------------------------------------------------------------------------------------------

    def _watch(self, operation: Operation) -> tuple[Outcome, Outcome]:
        if operation.stream not in self._streams:
            a_side, b_side = (it.open_watch(operation.user) for it in self._transports)
            self._streams[operation.stream] = a_side, b_side
        pair = self._streams[operation.stream]
        if operation.method == "WatchCreate":
            a, b = (stream.create(operation.request) for stream in pair)
            if 0 < operation.request.start_revision <= self.world.revision:
                self._let_catch_up(pair, operation.request.watch_id)
            return a, b
        if operation.method == "WatchProgress":
            self._let_arrive()
            a, b = (stream.progress() for stream in pair)
            return a, b
        self.compare_watch(operation.stream, operation.request.watch_id)
        a, b = (stream.cancel(operation.request.watch_id) for stream in pair)
        return a, b

    def _let_catch_up(self, pair: tuple[Watches, Watches], watch_id: int) -> None:
        """History is replayed in the background; a compaction meanwhile would cut it at a place of chance."""
        self._wait_quiet(
            lambda: [
                (len(history.events), history.closing is not None)
                for history in (stream.histories.get(watch_id) for stream in pair)
                if history is not None
            ]
        )

    @staticmethod
    def _wait_quiet(state: Callable[[], list[Any]]) -> None:
        """Until `state` stays the same for `QUIET_SECONDS`, or it takes too long."""
        seen: list[Any] = [None]

        def is_quiet() -> bool:
            seen.append(state())
            return bool(seen[-1] == seen[-2])

        wait_until(is_quiet, WATCH_SETTLE_SECONDS, interval_seconds=QUIET_SECONDS)

    def _let_arrive(self) -> None:
        """Until both sides have delivered the same number of events, and events have stopped to arrive."""
        wait_until(self._are_level, WATCH_SETTLE_SECONDS)
        streams = [side for pair in self._streams.values() for side in pair]
        self._wait_quiet(lambda: [[len(it.events) for it in list(side.histories.values())] for side in streams])

    def _are_level(self) -> bool:
        """Of those that are open: one that was cancelled may have heard of more on one side."""
        pairs = (
            [side.histories[watch_id] for side in self._streams[stream]] for stream, watch_id in self.world.watches
        )
        return all(len(a.events) == len(b.events) for a, b in pairs)

    def compare_watches(self) -> None:
        """All open watches, once events have stopped to arrive."""
        self._let_arrive()
        for stream, watch_id in list(self.world.watches):
            self.compare_watch(stream, watch_id)

    def compare_watch(self, stream: int, watch_id: int) -> None:
        """Waits until both sides delivered the same number of events (bounded), then compares all of them."""
        a, b = (side.histories[watch_id] for side in self._streams[stream])
        wait_until(lambda: len(a.events) == len(b.events), WATCH_SETTLE_SECONDS)
        comparison = Comparison(self._lease_ids)
        for label, history in (("A", a), ("B", b)):
            comparison.faults.extend(f"{label}: {fault}" for fault in history.faults)
        if len(a.events) != len(b.events):
            comparison.faults.append(f"events: {len(a.events)} != {len(b.events)}")
        for index, (left, right) in enumerate(zip(a.events, b.events, strict=False)):
            if left != right:
                comparison.message(f"events[{index}]", left, right)
                if comparison.faults:
                    comparison.faults += [f"A: {shown(left)}", f"B: {shown(right)}"]
            if comparison.faults:
                break
        self.report.events += len(a.events)
        a.events.clear()
        b.events.clear()
        if comparison.faults and self.report.difference is None:
            operation = next(
                it
                for it in self.report.history
                if it.method == "WatchCreate" and (it.stream, it.request.watch_id) == (stream, watch_id)
            )
            self.report.difference = Difference(len(self.report.history) - 1, operation, comparison.faults)


def _translate(message: Any, names: dict[int, int]) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for part in value if descriptor.is_repeated else (value,):
                _translate(part, names)
        elif descriptor.name in ("lease", "ID", "targetID", "rev") and value in names:
            setattr(message, descriptor.name, names[value])


def _hash(outcome: Outcome) -> int | None:
    return None if outcome.response is None else outcome.response.hash


def _hash_pair_agrees(pair: tuple[Outcome, Outcome]) -> bool:
    return _hash(pair[0]) == _hash(pair[1])


def compare_servers(a: Transport, b: Transport, seed: int, count: int) -> Report:
    """Empties both servers, then runs."""
    return Run(a, b, seed, start_afresh(a.client, b.client)).draw(count)
