"""What clients see of watches, case by case; facts of etcd's `v3rpc/watch.go` and `mvcc/watchable_store.go`."""

from __future__ import annotations

from typing import Any

import pytest

from dualmode import errors, limits
from dualmode.member.watch.hub import interval_of
from tests.member.watch.fakes import FakeStream, Scene


def heard(responses: list[Any]) -> list[tuple[int, int, bytes, int]]:
    """(watch id, type, key, revision) of all events."""
    return [
        (one.watch_id, event.type, event.kv.key, event.kv.mod_revision) for one in responses for event in one.events
    ]


# --- Creating ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "range_end", "expected"),
    [
        (b"a", b"", (b"a", b"a\0")),
        (b"", b"", (b"\0", b"\0\0")),
        (b"a", b"b", (b"a", b"b")),
        (b"a", b"\0", (b"a", None)),
        (b"", b"\0", (b"\0", None)),
        (b"\0", b"\0", (b"\0", None)),
        (b"", b"a", (b"\0", b"a")),
        (b"a", b"a", None),
        (b"b", b"a", None),
    ],
)
def test_intervals(key: bytes, range_end: bytes, expected: object) -> None:
    assert interval_of(key, range_end) == expected


def test_created_comes_first_and_tells_the_current_revision() -> None:
    scene = Scene()
    scene.put(b"a")
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    (created,) = fake.take()
    assert (created.created, created.canceled, created.watch_id) == (True, False, 0)
    assert created.header.revision == 2
    assert (created.header.cluster_id, created.header.member_id, created.header.raft_term) == (0xC0FFEE, 0xBEEF, 7)
    scene.put(b"a")
    (response,) = fake.take()
    assert heard([response]) == [(0, 0, b"a", 3)]
    assert response.header.revision == 3
    assert not response.created


def test_ids_are_counted_from_zero_and_skip_those_in_use() -> None:
    scene = Scene()
    fake, stream = scene.open()
    for asked in (0, 1, 0, 0, -7, 0):
        scene.create(stream, key=b"a", watch_id=asked)
    assert [one.watch_id for one in fake.take()] == [0, 1, 2, 3, -7, 4]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key": b"b", "range_end": b"a"}, "mvcc: watcher range is empty"),
        ({"key": b"a", "range_end": b"a"}, "mvcc: watcher range is empty"),
        ({"key": b"a", "watch_id": 5}, "mvcc: duplicate watch ID provided on the WatchStream"),
        ({"key": b"a", "start_revision": -1}, "etcdserver: mvcc: required revision has been compacted"),
        (
            {"key": b"b", "range_end": b"a", "start_revision": -1},
            "etcdserver: mvcc: required revision has been compacted",
        ),
        ({"key": b"b", "range_end": b"a", "watch_id": 5}, "mvcc: watcher range is empty"),
    ],
)
def test_refused_creations_leave_the_stream_as_it_was(fields: dict[str, Any], reason: str) -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a", watch_id=5)
    fake.take()
    scene.create(stream, **fields)
    (refused,) = fake.take()
    assert (refused.created, refused.canceled, refused.watch_id, refused.cancel_reason) == (True, True, -1, reason)
    assert refused.header.revision == 1
    assert scene.hub.watchers == 1
    scene.put(b"a")
    assert heard(fake.take()) == [(5, 0, b"a", 2)]


def test_a_stream_takes_so_many_watchers_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WATCHERS_PER_STREAM", 2)
    scene = Scene()
    fake, stream = scene.open()
    for _ in range(3):
        scene.create(stream, key=b"a")
    assert [one.canceled for one in fake.take()] == [False, False, True]
    scene.hub.cancel(stream, 0)
    scene.create(stream, key=b"a")
    assert fake.take()[-1].watch_id == 2


# --- Events --------------------------------------------------------------------------------------------------


def test_all_events_of_a_revision_are_in_one_response() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a", range_end=b"b")
    fake.take()
    scene.write((b"a1", b"1"), (b"b", b"2"), (b"a2", b"3"))
    (response,) = fake.take()
    assert heard([response]) == [(0, 0, b"a1", 2), (0, 0, b"a2", 2)]


def test_the_commits_of_one_pass_share_a_response() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    fake.take()
    commits = [scene.history.write((key, b"v")) for key in (b"a", b"a", b"z")]
    scene.hub.publish([one for one in commits if one])
    (response,) = fake.take()
    assert heard([response]) == [(0, 0, b"a", 2), (0, 0, b"a", 3)]
    assert response.header.revision == 4


def test_a_long_pass_is_cut_between_revisions_with_a_header_that_promises_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "WATCH_RESPONSE_BYTES", 100)
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    fake.take()
    commits = [scene.history.write((b"a", b"v" * 60)) for _ in range(3)]
    scene.hub.publish([one for one in commits if one])
    assert [one.header.revision for one in fake.take()] == [2, 3, 4]


def test_deletions_have_key_and_revision() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    fake.take()
    scene.put(b"a", b"1")
    scene.put(b"a", b"2")
    scene.delete(b"a")
    plain = [one.events[0] for one in fake.take()]
    assert [event.HasField("prev_kv") for event in plain] == [False, False, False]
    assert (plain[2].type, plain[2].kv.key, plain[2].kv.mod_revision) == (1, b"a", 4)
    assert (plain[2].kv.version, plain[2].kv.create_revision, plain[2].kv.value) == (0, 0, b"")


def test_previous_records() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a", prev_kv=True)
    fake.take()
    scene.put(b"a", b"1")
    scene.put(b"a", b"2")
    scene.delete(b"a")
    events = [one.events[0] for one in fake.take()]
    assert [event.prev_kv.value for event in events] == [b"", b"1", b"2"]
    assert not events[0].HasField("prev_kv")


@pytest.mark.parametrize(
    ("filters", "expected"), [([], [2, 3]), ([0], [3]), ([1], [2]), ([0, 1], []), ([0, 0], [3]), ([77], [2, 3])]
)
def test_filters(filters: list[int], expected: list[int]) -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a", filters=filters)
    fake.take()
    scene.put(b"a")
    scene.delete(b"a")
    responses = fake.take()
    assert [revision for *_, revision in heard(responses)] == expected
    assert len(responses) == len(expected), "nothing is sent when everything was filtered out"


def test_a_start_to_come_hears_nothing_before_it() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a", start_revision=4)
    scene.create(stream, key=b"a", start_revision=2)
    fake.take()
    for _ in range(4):
        scene.put(b"a")
    assert [(one, revision) for one, _, _, revision in heard(fake.take())] == [
        (1, 2),
        (1, 3),
        (0, 4),
        (1, 4),
        (0, 5),
        (1, 5),
    ]


def test_fragments_only_for_those_who_asked() -> None:
    scene = Scene(fragment_bytes=200)
    fake, stream = scene.open()
    scene.create(stream, key=b"a", range_end=b"b")
    scene.create(stream, key=b"a", range_end=b"b", fragment=True)
    fake.take()
    scene.write(*((b"a%d" % number, b"v" * 100) for number in range(3)))
    whole, *parts = fake.take()
    assert len(whole.events) == 3
    assert [part.fragment for part in parts] == [True, True, False]
    assert [len(part.events) for part in parts] == [1, 1, 1]


# --- Canceling -----------------------------------------------------------------------------------------------


def test_after_cancel_nothing_more_comes() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    scene.put(b"a")
    fake.take()
    scene.hub.cancel(stream, 0)
    scene.put(b"a")
    (canceled,) = fake.take()
    assert (canceled.canceled, canceled.created, canceled.watch_id, canceled.header.revision) == (True, False, 0, 2)
    scene.hub.cancel(stream, 0)
    scene.hub.cancel(stream, 99)
    assert fake.take() == []
    assert scene.hub.watchers == 0


def test_a_closed_stream_leaves_nothing_behind() -> None:
    scene = Scene()
    scene.put(b"a")
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    scene.create(stream, key=b"a", range_end=b"c")
    scene.create(stream, key=b"a", start_revision=1)
    scene.hub.close_stream(stream)
    scene.hub.close_stream(stream)
    assert (scene.hub.streams, scene.hub.watchers, scene.hub.slow_watchers, scene.hub.synced.size) == (0, 0, 0, 0)
    fake.take()
    scene.put(b"a")
    scene.catch_up()
    assert fake.take() == []


# --- History -------------------------------------------------------------------------------------------------


def test_a_start_in_the_past_hears_everything_since_in_order() -> None:
    scene = Scene()
    for key in (b"a", b"b", b"a"):
        scene.put(key)
    fake, stream = scene.open()
    scene.create(stream, key=b"a", start_revision=2, prev_kv=True)
    assert scene.wakes == 1
    assert [one.created for one in fake.take()] == [True]
    assert scene.hub.slow_watchers == 1
    scene.catch_up()
    (response,) = fake.take()
    assert heard([response]) == [(0, 0, b"a", 2), (0, 0, b"a", 4)]
    assert response.events[1].prev_kv.mod_revision == 2
    assert response.header.revision == 4
    assert scene.hub.slow_watchers == 0
    scene.put(b"a")
    assert heard(fake.take()) == [(0, 0, b"a", 5)]


def test_changes_made_while_catching_up_come_once_and_in_order() -> None:
    scene = Scene()
    for _ in range(3):
        scene.put(b"a")
    fake, stream = scene.open()
    scene.create(stream, key=b"a", start_revision=2)
    scene.put(b"a")
    scene.catch_up()
    scene.put(b"a")
    assert [revision for *_, revision in heard(fake.take())] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("start_revision", [1, 2, 3])
def test_a_compacted_start_is_created_then_canceled(start_revision: int) -> None:
    scene = Scene()
    for _ in range(5):
        scene.put(b"a")
    scene.history.compacted = 4
    fake, stream = scene.open()
    scene.create(stream, key=b"a", start_revision=start_revision, watch_id=3)
    scene.catch_up()
    created, canceled = fake.take()
    assert (created.created, created.canceled, created.header.revision) == (True, False, 6)
    assert (canceled.watch_id, canceled.canceled, canceled.created) == (3, True, False)
    assert (canceled.compact_revision, canceled.header.revision, canceled.cancel_reason) == (4, 0, "")
    assert scene.hub.slow_watchers == 0
    # The id stays taken until the client cancels it, as in etcd.
    scene.create(stream, key=b"a", watch_id=3)
    scene.hub.cancel(stream, 3)
    scene.create(stream, key=b"a", watch_id=3)
    assert [(one.watch_id, one.created, one.canceled) for one in fake.take()] == [
        (-1, True, True),
        (3, False, True),
        (3, True, False),
    ]


def test_the_compacted_revision_itself_can_be_started_from() -> None:
    scene = Scene()
    for _ in range(5):
        scene.put(b"a")
    scene.history.compacted = 4
    fake, stream = scene.open()
    scene.create(stream, key=b"a", start_revision=4)
    scene.catch_up()
    assert [revision for *_, revision in heard(fake.take())] == [4, 5, 6]


def test_another_store_after_a_snapshot() -> None:
    """A snapshot from the leader moves the store ahead: what it brought is caught up with, or has been compacted."""
    scene = Scene()
    scene.put(b"a")
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    scene.create(stream, key=b"a", start_revision=100)
    fake.take()
    for _ in range(3):
        scene.history.write((b"a", b"v"))
    scene.hub.replace_history(scene.history)
    scene.catch_up()
    scene.put(b"a")
    assert heard(fake.take()) == [(0, 0, b"a", revision) for revision in (3, 4, 5, 6)]
    for _ in range(3):
        scene.history.write((b"a", b"v"))
    scene.history.compacted = 8
    scene.hub.replace_history(scene.history)
    scene.catch_up()
    (canceled,) = fake.take()
    assert (canceled.watch_id, canceled.compact_revision) == (0, 8)
    assert (scene.hub.revision, scene.hub.slow_watchers) == (9, 0)


# --- Slow streams --------------------------------------------------------------------------------------------


def stalled(scene: Scene, **fields: Any) -> tuple[FakeStream, Any]:
    fake, stream = scene.open()
    scene.create(stream, key=b"a", **fields)
    fake.take()
    fake.is_stalled = True
    return fake, stream


def test_a_stalled_stream_is_bounded_and_gets_everything_when_it_drains() -> None:
    scene = Scene()
    slow, slow_stream = stalled(scene)
    quick, quick_stream = scene.open()
    scene.create(quick_stream, key=b"a")
    quick.take()
    value = b"v" * 10_000
    for _ in range(200):
        scene.put(b"a", value)
        assert len(quick.take()) == 1, "others hear at once"
    assert slow.greatest_unsent_bytes < limits.WATCH_STREAM_UNSENT_BYTES + 11_000
    assert (scene.hub.slow_watchers, slow_stream.lagging) == (1, 1)
    assert scene.catch_up() == 0, "nothing is tried while the stream is full"
    slow.drain()
    scene.catch_up()
    assert [revision for *_, revision in heard(slow.take())] == list(range(2, 202))
    assert scene.hub.slow_watchers == 0


def test_what_is_too_much_for_one_turn_comes_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a turn sends is not unsent yet, so a client that reads could otherwise be sent any amount at once."""
    monkeypatch.setattr(limits, "WATCH_STREAM_TURN_BYTES", 4 * limits.WATCH_STREAM_UNSENT_BYTES)
    scene = Scene()
    fake, stream = scene.open()
    for _ in range(20):
        scene.create(stream, key=b"a")
    fake.take()
    scene.put(b"a", b"v" * limits.WATCH_STREAM_UNSENT_BYTES)
    assert 4 <= len(fake.sent) <= 6
    assert scene.wakes > 0, "nobody will tell that the stream has drained: it was never full"
    while scene.hub.has_catching_up:
        sent = len(fake.sent)
        scene.hub.catch_up()
        assert len(fake.sent) - sent <= 6
    assert sorted(one for one, *_ in heard(fake.take())) == list(range(20))


def test_a_stream_that_drains_unheard_is_found() -> None:
    scene = Scene()
    fake, _ = stalled(scene)
    for _ in range(100):
        scene.put(b"a", b"v" * 10_000)
    fake.unsent_bytes = 0
    scene.hub.tick(1.0)
    scene.catch_up()
    fake.drain()
    scene.catch_up()
    assert [revision for *_, revision in heard(fake.take())] == list(range(2, 102))


def test_a_watcher_stalled_past_a_compaction_is_canceled() -> None:
    scene = Scene()
    fake, stream = stalled(scene)
    for _ in range(100):
        scene.put(b"a", b"v" * 10_000)
    scene.history.compacted = 100
    fake.drain()
    scene.catch_up()
    *_, last = fake.take()
    assert (last.canceled, last.compact_revision, last.header.revision) == (True, 100, 0)
    assert (scene.hub.slow_watchers, stream.lagging) == (0, 0)


def test_watchers_of_a_full_stream_that_hear_of_nothing_stay_synced() -> None:
    scene = Scene()
    fake, stream = stalled(scene)
    scene.create(stream, key=b"b")
    for _ in range(100):
        scene.put(b"a", b"v" * 10_000)
    assert stream.lagging == 1
    scene.hub.cancel(stream, 0)
    assert stream.lagging == 0
    fake.drain()
    assert scene.catch_up() == 0


# --- Progress ------------------------------------------------------------------------------------------------


def progress(responses: list[Any]) -> list[tuple[int, int]]:
    return [(one.watch_id, one.header.revision) for one in responses if not (one.events or one.created or one.canceled)]


def test_progress_is_answered_when_all_are_synced() -> None:
    scene = Scene()
    scene.put(b"a")
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    scene.create(stream, key=b"b", start_revision=1)
    fake.take()
    scene.hub.request_progress(stream)
    assert fake.take() == []
    scene.put(b"a")
    scene.catch_up()
    assert progress(fake.take()) == [(-1, 3)]
    scene.hub.request_progress(stream)
    assert progress(fake.take()) == [(-1, 3)]


def test_a_stream_without_watchers_is_not_answered() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.hub.request_progress(stream)
    assert fake.take() == []


@pytest.mark.parametrize(("start_revision", "answered"), [(2, True), (3, False)])
def test_progress_never_lets_a_client_go_on_before_its_start(start_revision: int, answered: bool) -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a", start_revision=start_revision, progress_notify=True)
    fake.take()
    scene.hub.request_progress(stream)
    scene.hub.tick(600.0)
    assert progress(fake.take()) == ([(-1, 1), (0, 1)] if answered else [])


def test_progress_notify_tells_the_quiet_ones() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, now=10.0, key=b"a", progress_notify=True)
    scene.create(stream, now=10.0, key=b"b", progress_notify=True)
    scene.create(stream, now=10.0, key=b"c")
    scene.put(b"a")
    fake.take()
    scene.hub.tick(609.9)
    assert fake.take() == []
    scene.hub.tick(610.0)
    assert progress(fake.take()) == [(1, 2)]
    scene.hub.tick(1210.0)
    assert progress(fake.take()) == [(0, 2), (1, 2)]
    scene.hub.close_stream(stream)
    scene.hub.tick(9999.0)
    assert fake.take() == []


def test_nobody_behind_is_notified_of_progress() -> None:
    scene = Scene()
    scene.put(b"a")
    fake, stream = scene.open()
    scene.create(stream, key=b"a", start_revision=1, progress_notify=True)
    fake.take()
    scene.hub.tick(600.0)
    assert fake.take() == []


def test_counters() -> None:
    scene = Scene()
    fake, stream = scene.open()
    for _ in range(3):
        scene.create(stream, key=b"a")
    scene.put(b"a")
    scene.write((b"a", b"1"), (b"b", b"2"))
    assert (scene.hub.streams, scene.hub.watchers, scene.hub.events) == (1, 3, 6)
    assert len(fake.take()) == 9
    assert errors.COMPACTED.message == "etcdserver: mvcc: required revision has been compacted"
