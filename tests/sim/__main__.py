"""Does: the command line of the simulation: `python -m tests.sim --seeds 1000`, or one seed with its whole trace."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter

from dualmode import log
from tests.sim.run import Outcome, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one, with its trace on stdout")
    parser.add_argument("--seeds", type=int, default=100, help="run so many (default 100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: all cores)")
    parser.add_argument("--log", default="fatal", help="level of the members' own log, on stderr (default: nothing)")
    arguments = parser.parse_args()
    log.configure(arguments.log, "console")
    if arguments.seed is not None:
        outcome = run_seed(arguments.seed, print)
        print(outcome.fault or f"clean, digest {outcome.digest}")
        return 1 if outcome.fault else 0
    return _run_many(range(arguments.first, arguments.first + arguments.seeds), arguments.jobs)


def _run_many(seeds: range, jobs: int) -> int:
    began, failed, simulated = time.monotonic(), [], 0.0
    totals: Counter[str] = Counter()
    with multiprocessing.Pool(jobs, maxtasksperchild=100) as pool:
        for number, outcome in enumerate(pool.imap_unordered(run_seed, seeds), 1):
            simulated += outcome.simulated_seconds
            totals.update(outcome.counts)
            if outcome.fault is not None:
                failed.append(outcome.seed)
                print(told(outcome), flush=True)
            if number % 50 == 0 or number == len(seeds):
                hours = simulated / 3600
                print(f"{number} seeds, {len(failed)} failed, {hours:.2f} simulated hours", flush=True)
    print(", ".join(f"{count} {name}" for name, count in sorted(totals.items())))
    print(f"took {time.monotonic() - began:.0f} s; failed: {sorted(failed) or 'none'}")
    return 1 if failed else 0


def told(outcome: Outcome) -> str:
    """What went wrong, and how to see it again."""
    return "\n".join(
        (
            f"seed {outcome.seed} failed after {outcome.simulated_seconds:.3f} s:",
            *outcome.last_lines[-15:],
            outcome.fault or "",
            f"replay it: {replay_command(outcome.seed)}",
        )
    )


def replay_command(seed: int) -> str:
    """What a person types."""
    return f"python -m tests.sim --seed {seed}"


if __name__ == "__main__":
    sys.exit(main())
