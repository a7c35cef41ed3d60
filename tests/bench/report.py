"""Does: says what was measured, and on what: a table on the terminal, JSON in a folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.bench import h2load
from tests.bench.results import COLUMNS, ETCD, OURS, Results, cells
from tests.interop.servers import ETCD as ETCD_PROGRAM

FOLDER: Final = Path("bench-results")


def machine(loader: str, repetitions: int, seconds: float, ours: str) -> dict[str, str]:
    """Versions and the machine, without which figures say nothing."""

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    cpu = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ": ?"
    )
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    dirty = " with changes" if output("git", "status", "--porcelain", "-uno") else ""
    return {
        "taken": time.strftime("%Y-%m-%d"),
        "dualmode": output("git", "rev-parse", "--short", "HEAD") + dirty,
        "etcd": output(str(ETCD_PROGRAM), "--version").splitlines()[0].removeprefix("etcd Version: "),
        "hot path": {"dualmode": "plain Python", "compiled": "compiled (`make wheel`)"}.get(ours, "none of ours"),
        "Python": platform.python_version(),
        "machine": f"{cores} cores, {cpu.split(': ')[1]}, Linux {platform.release()}",
        "load average before": f"{os.getloadavg()[0]:.1f}",  # far above 0: others used the machine too
        "loader": h2load.version() if loader == "h2load" else "our own (tests/bench/native_load.py)",
        "method": f"median of {repetitions} runs of about {seconds} s each, servers in turns, fsync on",
    }


def show(results: Results) -> None:
    console = Console(width=None if sys.stdout.isatty() else 180)
    table = Table(title="CPU time of the server for each operation, and what follows from it")
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number in (0, 1, len(COLUMNS) - 1) else "right")
    for row in results.rows:
        verdict = row.verdict()
        style = "red" if "FALLS SHORT" in verdict else "green" if verdict else ""
        *others, last = cells(row)
        table.add_row(*others, f"[{style}]{last}[/]" if style else last)
    console.print(table)
    console.print(
        f"resident memory: etcd {results.resident_mib[ETCD]:.0f} MiB, dualmode {results.resident_mib[OURS]:.0f} MiB: "
        f"{results.memory_verdict()}"
    )
    for name, value in results.machine.items():
        console.print(f"{name}: {value}", highlight=False)


def keep(name: str, figures: dict[str, Any]) -> None:
    """As JSON in a folder of the directory that this runs in."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}{name}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"kept as {path}")
