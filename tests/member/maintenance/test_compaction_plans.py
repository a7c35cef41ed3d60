"""When compaction happens by itself; times and revisions as etcd's own rules give them."""

import pytest

from dualmode.member.maintenance.compaction_plans import PeriodicPlan, Plan, RevisionPlan, make_plan

HOUR = 3600.0


def follow(plan: Plan, hours: float) -> list[tuple[float, int]]:
    """Runs a plan from time 0 on a store that begins at revision 1 and gets one more every minute; gives what it
    compacted as (hour, revision)."""
    step, compacted = 0, []
    while (step + 1) * plan.interval_seconds <= hours * HOUR:
        plan.sample(1 + int(step * plan.interval_seconds / 60))
        step += 1
        now = step * plan.interval_seconds
        target = plan.due(now, 1 + int(now / 60))
        if target is not None:
            compacted.append((round(now / HOUR, 2), target))
            plan.done(now, target)
    return compacted


@pytest.mark.parametrize(
    ("hours", "interval_seconds"), [(1, 360), (5, 360), (72, 360), (0.5, 180), (5 / 60, 30), (1 / 60, 6)]
)
def test_the_revision_is_sampled_ten_times_an_hour_or_a_shorter_retention(
    hours: float, interval_seconds: float
) -> None:
    assert PeriodicPlan(hours * HOUR, 0.0).interval_seconds == pytest.approx(interval_seconds)


def test_a_retention_of_an_hour() -> None:
    assert follow(PeriodicPlan(HOUR, 0.0), 4.5) == [(1, 1), (2, 55), (3, 115), (4, 175)]


def test_a_long_retention_first_waits_for_all_of_it_then_compacts_every_hour() -> None:
    assert follow(PeriodicPlan(5 * HOUR, 0.0), 8.5) == [(5, 1), (6, 55), (7, 115), (8, 175)]


def test_a_short_retention_compacts_once_in_each() -> None:
    assert follow(PeriodicPlan(HOUR / 2, 0.0), 2) == [(0.5, 1), (1, 28), (1.5, 58), (2, 88)]


def test_a_retention_that_is_no_multiple_of_the_interval_keeps_whole_intervals_only() -> None:
    # 100 minutes have 16 whole intervals of 6, so 17 samples are kept: what is compacted is 102 minutes old.
    assert follow(PeriodicPlan(100 * 60, 0.0), 3) == [(1.7, 1), (2.7, 61)]


def test_an_idle_store_is_compacted_once() -> None:
    plan = PeriodicPlan(HOUR, 0.0)
    targets = []
    for step in range(1, 50):
        plan.sample(7)
        target = plan.due(step * plan.interval_seconds, 7)
        if target is not None:
            targets.append(target)
            plan.done(step * plan.interval_seconds, target)
    assert targets == [7]


def test_a_failure_is_tried_again_in_the_next_interval() -> None:
    plan = PeriodicPlan(HOUR, 0.0)
    for _ in range(11):
        plan.sample(7)
    assert plan.due(HOUR, 8) == 7
    plan.sample(8)
    assert plan.due(HOUR + plan.interval_seconds, 8) == 7


def test_by_count() -> None:
    plan = RevisionPlan(1000)
    assert plan.interval_seconds == 300
    assert plan.due(0, 1000) is None
    assert plan.due(0, 1001) == 1
    plan.done(0, 1)
    assert plan.due(0, 1001) is None
    assert plan.due(0, 1500) == 500


def test_plans_of_options() -> None:
    assert make_plan("periodic", 0, 0, 0.0) is None
    assert make_plan("revision", 0, 0, 0.0) is None
    by_age, by_count = make_plan("periodic", HOUR, 0, 0.0), make_plan("revision", 0, 10, 0.0)
    assert isinstance(by_age, PeriodicPlan)
    assert by_age.log_fields() == {"compact-period": "1h0m0s"}
    assert isinstance(by_count, RevisionPlan)
    assert by_count.log_fields() == {"revision-compaction-retention": 10}
