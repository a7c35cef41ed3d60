"""Decides: what a seed stands for: how many members, how bad the weather, which accidents, which load.

Each run gets some kinds of accidents only, and those often: a run with everything at once hardly gets anywhere, and
what needs two faults in a row would never happen ("swarm testing", Groce et al., 2012).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

#: Accidents and how often they are drawn when a run has them.
ACCIDENTS = {
    "crash": 6,
    "crash the leader": 4,
    "crash several": 2,
    "restart": 2,
    "isolate the leader": 3,
    "isolate one": 2,
    "split": 2,
    "one-way": 2,
    "bad weather": 3,
    "slow disk": 3,
    "stalled disk": 2,
    "transfer": 2,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Times are in simulated seconds."""

    seed: int
    members: int
    seconds: float
    accidents: dict[str, int]
    seconds_between_accidents: float
    #: Of a message, at the best of times.
    loss: float
    duplication: float
    disorder: float
    delay_seconds: float
    #: Greatest difference between a member's clock and the true one, as a factor; and the offset of its date.
    clock_drift: float
    date_offset_seconds: float
    #: How often a sync is not done inline, and what it takes then.
    slow_syncs: float
    sync_seconds: float
    writers: int
    watchers: int
    lease_holders: int
    #: Whether the leader notes in the log what remains of leases, once a second.
    lease_checkpoints: bool
    compacts: bool
    changes_members: bool
    #: Nobody is removed when there would be less.
    fewest_voters: int
    #: Short logs: snapshots after so many entries, and so many kept.
    snapshot_count: int
    catch_up_entries: int
    segment_bytes: int
    segments_kept: int
    pre_vote: bool


def make_plan(seed: int) -> Plan:
    """The same for the same seed, always."""
    dice = random.Random(f"plan {seed}")
    names = sorted(ACCIDENTS)
    chosen = [name for name in names if dice.random() < 0.5] or [dice.choice(names)]
    members = dice.choice((1, 3, 3, 3, 3, 3, 5, 5))
    return Plan(
        seed=seed,
        members=members,
        seconds=dice.uniform(20, 40),
        accidents={name: ACCIDENTS[name] for name in chosen},
        seconds_between_accidents=dice.choice((1.5, 3.0, 5.0)),
        loss=dice.choice((0.0, 0.0, 0.01, 0.05)),
        duplication=dice.choice((0.0, 0.01, 0.1)),
        disorder=dice.choice((0.0, 0.02, 0.2)),
        delay_seconds=dice.choice((0.0005, 0.002, 0.02)),
        clock_drift=dice.choice((0.0, 0.02, 0.1)),
        date_offset_seconds=dice.choice((0.0, 1.0, 3600.0)),
        slow_syncs=dice.choice((0.0, 0.5, 1.0, 1.0)),
        sync_seconds=dice.choice((0.0005, 0.003, 0.02)),
        writers=dice.choice((1, 3, 6)),
        watchers=dice.choice((1, 2, 3)),
        lease_holders=dice.choice((0, 1, 2)),
        lease_checkpoints=dice.random() < 0.4,
        compacts=dice.random() < 0.5,
        changes_members=members == 1 or dice.random() < 0.5,
        fewest_voters=dice.choice((1, 3)),
        snapshot_count=dice.choice((15, 60, 400)),
        catch_up_entries=dice.choice((3, 20, 200)),
        segment_bytes=dice.choice((4_000, 20_000, 200_000)),
        segments_kept=dice.choice((1, 2, 5)),
        pre_vote=dice.random() < 0.8,
    )
