"""How catching up shares its reads, stays in slices and is fair."""

from __future__ import annotations

import pytest

from dualmode import limits
from tests.member.watch.fakes import Scene


def written(revisions: int) -> Scene:
    scene = Scene()
    for _ in range(revisions):
        scene.history.write((b"a", b"v"))
    scene.hub.replace_history(scene.history)
    return scene


def revisions_of(scene: Scene, fake: object) -> list[int]:
    return [event.kv.mod_revision for one in fake.take() for event in one.events]  # type: ignore[attr-defined]


def test_watchers_from_the_same_place_share_one_read() -> None:
    scene = written(50)
    fake, stream = scene.open()
    for number in range(100):
        scene.create(stream, key=b"a" if number % 2 else b"", range_end=b"" if number % 2 else b"\0", start_revision=2)
    scene.catch_up()
    assert scene.history.reads == 50
    assert len(revisions_of(scene, fake)) == 100 * 50


def test_a_watcher_near_the_head_does_not_wait_for_one_far_behind() -> None:
    scene = written(20_000)
    far, far_stream = scene.open()
    scene.create(far_stream, key=b"a", start_revision=2)
    near, near_stream = scene.open()
    scene.create(near_stream, key=b"a", start_revision=19_990)
    scene.hub.catch_up()
    scene.hub.catch_up()
    assert revisions_of(scene, near) == list(range(19_990, 20_002))
    assert len(revisions_of(scene, far)) <= 2 * limits.WATCH_SLICE_REVISIONS
    scene.catch_up()
    assert scene.hub.slow_watchers == 0


def test_one_far_behind_does_not_wait_for_those_near_the_head() -> None:
    scene = written(5_000)
    far, far_stream = scene.open()
    scene.create(far_stream, key=b"a", start_revision=2)
    slices = 0
    while far_stream.lagging:
        _near, near_stream = scene.open()
        scene.create(near_stream, key=b"a", start_revision=5_000)
        scene.hub.catch_up()
        slices += 1
    assert slices < 3 * 5_000 / limits.WATCH_SLICE_CHANGES
    assert revisions_of(scene, far) == list(range(2, 5_002))


def test_all_of_history_is_read_at_most_twice_however_many_places_there_are() -> None:
    scene = written(10_000)
    fakes = []
    for start in range(2, 10_000, 97):
        fake, stream = scene.open()
        scene.create(stream, key=b"a", start_revision=start)
        fakes.append((start, fake))
    scene.catch_up()
    assert scene.history.reads <= 2 * 10_000 + 2 * limits.WATCH_SLICE_REVISIONS
    for start, fake in fakes:
        assert revisions_of(scene, fake) == list(range(start, 10_002))


@pytest.mark.parametrize("watchers", [1, 1000])
def test_a_slice_is_bounded(watchers: int) -> None:
    scene = written(4_000)
    _fake, stream = scene.open()
    for number in range(watchers):
        scene.create(stream, key=b"a%d" % number, start_revision=2)
    while scene.hub.has_catching_up:
        reads, lagging = scene.history.reads, stream.lagging
        scene.hub.catch_up()
        assert scene.history.reads - reads <= limits.WATCH_SLICE_REVISIONS
        assert lagging - stream.lagging <= limits.WATCH_SLICE_WATCHERS
    assert stream.lagging == 0


def test_a_slice_reads_no_more_bytes_than_it_may() -> None:
    scene = Scene()
    for _ in range(8):
        scene.history.write((b"a", b"v" * (limits.WATCH_SLICE_BYTES // 2)))
    scene.hub.replace_history(scene.history)
    _fake, stream = scene.open()
    scene.create(stream, key=b"b", start_revision=2)
    scene.hub.catch_up()
    assert scene.history.reads == 2


def test_a_stream_that_fills_again_while_its_watchers_come_back_does_not_spin() -> None:
    scene = Scene()
    fake, stream = scene.open()
    for _ in range(3 * limits.WATCH_SLICE_WATCHERS):
        scene.create(stream, key=b"a")
    fake.take()
    fake.is_stalled = True
    scene.put(b"a", b"v" * limits.WATCH_STREAM_UNSENT_BYTES)
    assert stream.lagging == 3 * limits.WATCH_SLICE_WATCHERS - 1, "one message always fits"
    fake.unsent_bytes = 0
    scene.hub.drained(stream)
    assert 1 <= scene.catch_up() < 10
    assert stream.lagging > 0
    while stream.lagging:
        fake.unsent_bytes = 0
        scene.hub.drained(stream)
        scene.catch_up()
    events = [one.watch_id for one in fake.take() for _ in one.events]
    assert sorted(events) == list(range(3 * limits.WATCH_SLICE_WATCHERS))


def test_watchers_catching_up_are_canceled_when_a_compaction_overtakes_them() -> None:
    scene = written(5_000)
    far, far_stream = scene.open()
    scene.create(far_stream, key=b"a", start_revision=2)
    near, near_stream = scene.open()
    scene.create(near_stream, key=b"a", start_revision=2_500)
    scene.hub.catch_up()
    scene.history.compacted = 2_400
    scene.catch_up()
    assert [one.compact_revision for one in far.take() if one.canceled] == [2_400]
    assert revisions_of(scene, near) == list(range(2_500, 5_002))
    assert scene.hub.slow_watchers == 0


def test_one_of_a_line_whose_own_start_a_compaction_spares_goes_on() -> None:
    scene = written(1_000)
    behind, behind_stream = scene.open()
    scene.create(behind_stream, key=b"a", start_revision=2)
    ahead, ahead_stream = scene.open()
    scene.create(ahead_stream, key=b"a", start_revision=500)
    scene.hub.catch_up()
    assert revisions_of(scene, behind) == list(range(2, 2 + limits.WATCH_SLICE_CHANGES))
    scene.history.compacted = 400
    scene.catch_up()
    assert [one.compact_revision for one in behind.take()] == [400]
    assert revisions_of(scene, ahead) == list(range(500, 1_002))


def test_a_stream_with_nobody_behind_any_more_is_not_drained_for() -> None:
    scene = Scene()
    fake, stream = scene.open()
    scene.create(stream, key=b"a")
    fake.is_stalled = True
    scene.put(b"a", b"v" * limits.WATCH_STREAM_UNSENT_BYTES)
    scene.put(b"a")
    assert stream.lagging == 1
    fake.drain()
    scene.hub.close_stream(stream)
    scene.catch_up()
    assert (scene.hub.slow_watchers, stream.lagging) == (0, 0)
