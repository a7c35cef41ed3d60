"""Some seeds, as part of every test run; that a seed is a run; and that what is broken on purpose is found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dualmode.member.apply import requests
from dualmode.raft import MessageType
from tests.sim.__main__ import told
from tests.sim.node import Life
from tests.sim.plan import ACCIDENTS, Plan, make_plan
from tests.sim.run import run_plan, run_seed
from tests.sim.world import World

#: The simulation puts methods of its own into what the members are made of.
pytestmark = pytest.mark.plain


@pytest.mark.parametrize("seed", range(16))
def test_a_seed_is_clean(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.fault is None, told(outcome)


_DIGEST_OF = "import sys; from tests.sim.run import run_seed; print(run_seed(int(sys.argv[1])).digest)"


@pytest.mark.parametrize("seed", [5, 8])
def test_a_seed_is_the_same_run_in_every_process(seed: int) -> None:
    here = run_seed(seed).digest
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    there = subprocess.run(
        [sys.executable, "-c", _DIGEST_OF, str(seed)], capture_output=True, text=True, check=True, env=environment
    ).stdout.splitlines()[-1]
    assert there == here
    assert run_seed(seed + 1).digest != here


# --- Broken on purpose ------------------------------------------------------------------------------------------------


def stormy(seed: int, **changes: Any) -> Plan:
    """Three members with much going on."""
    names = ("crash", "crash several", "isolate the leader", "split", "transfer")
    plan = replace(
        make_plan(seed),
        members=3,
        seconds=30.0,
        accidents={name: ACCIDENTS[name] for name in names},
        seconds_between_accidents=1.5,
        delay_seconds=0.002,
        slow_syncs=1.0,
        writers=4,
        watchers=2,
        lease_holders=1,
        lease_checkpoints=False,
        changes_members=False,
    )
    return replace(plan, **changes)


def in_every_life(spoil: Callable[[Life], None]) -> Callable[[World], None]:
    """Breaks every member that starts."""

    def prepare(world: World) -> None:
        on_opened = world.ledger.on_opened

        def opened(life: Life) -> None:
            on_opened(life)
            spoil(life)

        world.ledger.on_opened = opened  # type: ignore[method-assign]

    return prepare


def disks_lie(world: World) -> None:
    """Syncs are over before anything is durable."""
    for node in world.nodes.values():
        node.disk.lies = True


def votes_are_given_twice(life: Life) -> None:
    """Whoever asks for a vote gets it, whom else it was given to in this term."""
    exchange: Any = life.member.replica.exchange
    take_in, core = exchange.take_in, life.member.replica.node.core

    def forgetful() -> None:
        if any(message.type is MessageType.VOTE and message.term == core.term for message in exchange._arrived):
            core.vote = 0
        take_in()

    exchange.take_in = forgetful


def reads_ask_nobody(life: Life) -> None:
    """Whoever is asked answers from what it has."""
    replica: Any = life.member.replica
    replica.intake.when_readable = lambda answer, reply: answer()


def one_member_applies_otherwise(life: Life) -> None:
    """As a release with another idea of a request would."""
    if life.node.name != "m1":
        return
    applier: Any = life.member.replica.applier
    put, puts = applier.effects[requests.PUT], 0

    def now_and_then_twice(request: Any) -> bytes:
        nonlocal puts
        puts += 1
        if puts % 3 == 0:
            put(request)
        answer: bytes = put(request)
        return answer

    applier.effects[requests.PUT] = now_and_then_twice


def leases_are_short(life: Life) -> None:
    """The clock that leases are counted on runs twice as fast as it should."""
    member: Any = life.member
    now = member.lease_expiry._now
    member.lease_expiry._now = member.lease._now = member.replica.applier._now = lambda: now() * 2


def watches_miss_something(life: Life) -> None:
    """One commit in a while is told to nobody."""
    passes: Any = life.member.replica._passes

    def publish(commits: list[Any]) -> None:
        life.node.observer.on_commits(life, commits)
        life.member.watch_hub.publish([one for one in commits if one.revision % 20])

    passes._publish = publish


def proposals_are_sent_twice(life: Life) -> None:
    """A client that thinks its request was lost, and says nothing of that."""
    incoming: Any = life.member.replica.intake.incoming
    take = incoming.take_batch

    def twice() -> list[Any]:
        batch: list[Any] = take()
        return batch + batch[:1]

    incoming.take_batch = twice


@pytest.mark.parametrize(
    ("prepare", "fault"),
    [
        pytest.param(disks_lie, "", id="disks lie"),
        pytest.param(in_every_life(votes_are_given_twice), "two leaders", id="votes are given twice"),
        pytest.param(in_every_life(reads_ask_nobody), "was answered at", id="reads ask nobody"),
        pytest.param(in_every_life(one_member_applies_otherwise), "others", id="one applies otherwise"),
        pytest.param(in_every_life(leases_are_short), "lease", id="leases are short"),
        pytest.param(in_every_life(watches_miss_something), "the watch of", id="watches miss something"),
        pytest.param(in_every_life(proposals_are_sent_twice), "operation", id="proposals are sent twice"),
    ],
)
def test_what_is_broken_is_found(prepare: Callable[[World], None], fault: str) -> None:
    for seed in range(8):
        outcome = run_plan(stormy(seed, delay_seconds=0.05, pre_vote=False), prepare=prepare)
        if outcome.fault is not None:
            assert fault in outcome.fault
            return
    pytest.fail("eight runs have not shown it")


def test_what_is_not_broken_is_clean() -> None:
    outcome = run_plan(stormy(0))
    assert outcome.fault is None, told(outcome)
