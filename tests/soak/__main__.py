"""Does: the command `python -m tests.soak --hours 24`: a day of leases and watches, and whether memory stayed flat."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from tests.soak.measure import faults
from tests.soak.run import run


@click.command()
@click.option("--hours", default=24.0, show_default=True, help="On the member's clock, which does not wait.")
@click.option("--seed", default=1, show_default=True)
def main(hours: float, seed: int) -> None:
    """Runs a member in this process, with clients that grant, keep alive, watch, stall and go."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        result = run(Path(directory), hours, seed, lambda figures: print(figures, flush=True))
    print(
        f"{hours:g} hours, {result.operations:,d} operations, {result.event_bytes / 2**20:.1f} MiB of events: "
        f"{time.monotonic() - began:.0f} s"
    )
    grown = faults(result.figures)
    print("\n".join(grown) or "memory is flat")
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
