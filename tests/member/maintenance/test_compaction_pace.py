"""Steps follow the time they take; pauses follow the steps."""

from dualmode import limits
from dualmode.member.maintenance.compaction_pace import CompactionPace

AIM = limits.COMPACTION_STEP_SECONDS


def test_quick_steps_grow_to_the_most_that_is_allowed() -> None:
    pace = CompactionPace(1000, 0.002)
    assert pace.rows == 100
    assert pace.pause_seconds(AIM / 2) == AIM / 2 * limits.COMPACTION_PAUSE_STEPS
    assert pace.rows == 112
    for _ in range(100):
        pace.pause_seconds(AIM / 2)
    assert pace.rows == 1000


def test_long_steps_shrink_but_never_to_nothing() -> None:
    pace = CompactionPace(1000, 0.0)
    assert pace.pause_seconds(1.0) == limits.COMPACTION_LONGEST_PAUSE_SECONDS
    assert pace.rows == 50
    for _ in range(20):
        pace.pause_seconds(1.0)
    assert pace.rows == 20


def test_a_step_of_about_the_time_aimed_at_changes_nothing() -> None:
    pace = CompactionPace(1000, 0.0)
    pace.pause_seconds(1.5 * AIM)
    assert pace.rows == 100


def test_what_was_asked_for_is_kept_to() -> None:
    pace = CompactionPace(5, 0.05)
    assert pace.rows == 5
    assert pace.pause_seconds(1.0) == 0.05
    pace.pause_seconds(0.0)
    assert pace.rows == 5
