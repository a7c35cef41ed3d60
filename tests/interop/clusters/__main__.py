"""Does: runs the scenarios at their full size and says what was seen.

python -m tests.interop.clusters                       all of them
python -m tests.interop.clusters mixed --theirs etcd-3.4 --scale 4
"""

from __future__ import annotations

import inspect
import tempfile
import time
from pathlib import Path

import click

from tests.interop.clusters.cluster import PROGRAMS
from tests.interop.clusters.scenarios import SCENARIOS


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)))
@click.option("--theirs", default="etcd", type=click.Choice([name for name in PROGRAMS if name != "dualmode"]))
@click.option("--scale", default=1.0, help="Multiplies the number of operations.")
def main(names: tuple[str, ...], theirs: str, scale: float) -> None:
    """Runs scenarios of clusters."""
    for name in names or SCENARIOS:
        scenario = SCENARIOS[name]
        more = {"theirs": theirs} if "theirs" in inspect.signature(scenario).parameters else {}
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            scenario(Path(directory), scale, lambda text, name=name: click.echo(f"{name}: {text}"), **more)
        click.echo(f"{name}: passed in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
