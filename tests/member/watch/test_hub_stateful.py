"""The hub under random work against a model that knows nothing but what each watcher must hear.

The model: a watcher hears, of the changes at or above its start that lie in its interval and pass its filters, a prefix
at any time and all of them in the end, in order, each revision in one piece; and no header promises more than was
delivered.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dualmode import limits
from dualmode.member.watch.hub import interval_of
from dualmode.storage.mvcc.interval import contains
from tests.member.watch.fakes import Scene

KEYS = st.sampled_from([b"a", b"a\0", b"b", b"bb", b"c"])
Heard = tuple[int, int, bytes]


class Model:
    """One watcher, and what it has been told."""

    def __init__(self, request: dict[str, Any], start: int) -> None:
        self.interval = interval_of(request["key"], request["range_end"])
        self.filters = request["filters"]
        self.with_previous = request["prev_kv"]
        self.start = start
        self.heard: list[Heard] = []
        self.promised = 0
        self.is_compacted = False

    def expected(self, scene: Scene, up_to: int) -> list[Heard]:
        assert self.interval is not None
        low, high = self.interval
        return [
            (commit.revision, int(change.is_delete), change.key)
            for commit in scene.history.commits
            for change in commit.changes
            if self.start <= commit.revision <= up_to
            and contains(low, high, change.key)
            and int(change.is_delete) not in self.filters
        ]


class WatchMachine(RuleBasedStateMachine):
    @initialize(
        unsent=st.sampled_from([60, 400]),
        turn=st.sampled_from([100, 10_000]),
        changes=st.integers(1, 4),
        watchers=st.integers(1, 3),
    )
    def begin(self, unsent: int, turn: int, changes: int, watchers: int) -> None:
        self.patch = pytest.MonkeyPatch()
        for name, value in {
            "WATCH_STREAM_UNSENT_BYTES": unsent,
            "WATCH_STREAM_TURN_BYTES": turn,
            "WATCH_RESPONSE_BYTES": 30,
            "WATCH_SLICE_CHANGES": changes,
            "WATCH_SLICE_REVISIONS": 3,
            "WATCH_SLICE_WATCHERS": watchers,
        }.items():
            self.patch.setattr(limits, name, value)
        self.scene = Scene(fragment_bytes=100)
        self.streams = [self.scene.open() for _ in range(2)]
        self.models: list[dict[int, Model]] = [{}, {}]

    def teardown(self) -> None:
        if hasattr(self, "patch"):
            try:
                self.finish()
            finally:
                self.patch.undo()

    def finish(self) -> None:
        """Lets everything settle: each watcher must have heard all there was for it."""
        for fake, _ in self.streams:
            fake.is_stalled = False
        while any(stream.lagging for _, stream in self.streams):
            for fake, _ in self.streams:
                fake.drain()
            self.scene.catch_up()
        self.read()
        for models in self.models:
            for model in models.values():
                if not model.is_compacted:
                    assert model.heard == model.expected(self.scene, self.scene.hub.revision)
        assert self.scene.hub.slow_watchers == 0

    @rule(
        writes=st.lists(
            st.lists(st.tuples(KEYS, st.none() | st.just(b"v")), min_size=1, max_size=3, unique_by=lambda w: w[0]),
            max_size=3,
        )
    )
    def a_pass(self, writes: list[list[tuple[bytes, bytes | None]]]) -> None:
        commits = [self.scene.history.write(*operations) for operations in writes]
        self.scene.hub.publish([one for one in commits if one])

    @rule(
        which=st.integers(0, 1),
        key=KEYS,
        range_end=st.sampled_from([b"", b"", b"\0", b"b", b"c", b"d"]),
        start=st.integers(-4, 3),
        now=st.booleans(),
        filters=st.sampled_from([[], [], [0], [1]]),
        prev_kv=st.booleans(),
        fragment=st.booleans(),
    )
    def create(self, which: int, start: int, now: bool, **request: Any) -> None:
        _fake, stream = self.streams[which]
        head = self.scene.hub.revision
        start = 0 if now else max(1, head + start)
        if interval_of(request["key"], request["range_end"]) is None:
            return
        self.scene.create(stream, start_revision=start, **request)
        watch_id = stream.next_watch_id - 1
        self.models[which][watch_id] = Model(request, start or head + 1)

    @rule(which=st.integers(0, 1), data=st.data())
    def cancel(self, which: int, data: st.DataObject) -> None:
        models = self.models[which]
        if models:
            watch_id = data.draw(st.sampled_from(sorted(models)))
            self.read()
            self.scene.hub.cancel(self.streams[which][1], watch_id)
            del models[watch_id]
            fake = self.streams[which][0]
            (canceled,) = [one for one in fake.take() if one.canceled]
            assert canceled.watch_id == watch_id

    @rule(which=st.integers(0, 1))
    def stall(self, which: int) -> None:
        self.streams[which][0].is_stalled = True

    @rule(which=st.integers(0, 1))
    def drain(self, which: int) -> None:
        self.streams[which][0].drain()

    @rule(which=st.integers(0, 1))
    def ask_progress(self, which: int) -> None:
        self.scene.hub.request_progress(self.streams[which][1])

    @rule(slices=st.integers(1, 5))
    def catch_up(self, slices: int) -> None:
        for _ in range(slices):
            self.scene.hub.catch_up()

    @precondition(lambda self: self.scene.hub.revision > 2)
    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        self.scene.history.compacted = max(self.scene.history.compacted, self.scene.hub.revision - back)

    @rule()
    def a_snapshot_arrives(self) -> None:
        self.scene.history.write((b"a", b"v"))
        self.scene.history.write((b"b", b"v"))
        self.scene.hub.replace_history(self.scene.history)

    @invariant()
    def read(self) -> None:
        if hasattr(self, "streams"):
            for (fake, stream), models in zip(self.streams, self.models, strict=True):
                revisions_open: dict[int, int] = {}
                for response in fake.take():
                    self.check(response, models, revisions_open)
                assert stream.lagging == sum(
                    not one.is_ended and one.index is not self.scene.hub.synced for one in stream.watchers.values()
                )
            self.check_counters()

    def check(self, response: Any, models: dict[int, Model], fragmented: dict[int, int]) -> None:
        revision = response.header.revision
        if response.watch_id == -1:
            for model in models.values():
                if not model.is_compacted:
                    assert model.heard == model.expected(self.scene, revision), "progress must not overtake events"
            return
        model = models[response.watch_id]
        assert not model.is_compacted, "nothing comes after the end"
        if response.created:
            assert not model.heard
            return
        if response.canceled:
            assert response.compact_revision == self.scene.history.compacted
            # It is ended only if its next revision was gone.
            assert model.heard == model.expected(self.scene, self.scene.hub.revision)[: len(model.heard)]
            assert max(model.start, model.promised + 1) < response.compact_revision
            model.is_compacted = True
            return
        first = response.events[0].kv.mod_revision
        if fragmented.pop(response.watch_id, None) != first:
            assert not model.heard or model.heard[-1][0] < first, "a revision came in two pieces"
        for event in response.events:
            model.heard.append((event.kv.mod_revision, event.type, event.kv.key))
            self.check_previous(model, event)
        if response.fragment:
            fragmented[response.watch_id] = response.events[-1].kv.mod_revision
        else:
            model.promised = revision
            assert model.heard == model.expected(self.scene, revision)

    def check_previous(self, model: Model, event: Any) -> None:
        """The record before a change, unless it has been compacted by the time of sending."""
        before = [
            change.kv
            for commit in self.scene.history.commits
            for change in commit.changes
            if change.key == event.kv.key and commit.revision < event.kv.mod_revision and not change.is_delete
        ]
        is_creation = event.type == 0 and event.kv.version == 1
        if not model.with_previous or is_creation:
            assert not event.HasField("prev_kv")
        elif event.HasField("prev_kv"):
            assert event.prev_kv.SerializeToString() == before[-1]
        else:
            assert event.kv.mod_revision <= self.scene.history.compacted

    def check_counters(self) -> None:
        hub = self.scene.hub
        assert hub.watchers == sum(len(stream.watchers) for _, stream in self.streams)
        assert hub.slow_watchers == sum(stream.lagging for _, stream in self.streams)
        assert hub.synced.size == sum(
            one.index is hub.synced for _, stream in self.streams for one in stream.watchers.values()
        )


TestWatches = WatchMachine.TestCase
TestWatches.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
