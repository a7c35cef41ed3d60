"""Does: the command `python -m tests.differential A_URL B_URL`: the first difference, and how to replay it."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import click

from tests.differential.afresh import start_afresh
from tests.differential.history import parse
from tests.differential.json_transport import JsonTransport
from tests.differential.run import Report, Run
from tests.differential.transport import GrpcTransport
from tests.interop.servers import start_etcd
from tests.interop.tested import start_tested

#: Cheap passwords, since a run logs in often; durability is not what is compared.
FLAGS = ("--bcrypt-cost=4", "--unsafe-no-fsync")


@click.command()
@click.argument("a_url", required=False)
@click.argument("b_url", required=False)
@click.option("--seed", default=1, show_default=True, help="Of the first run.")
@click.option("--operations", default=20_000, show_default=True, help="Of each run.")
@click.option("--runs", default=1, show_default=True, help="With seeds that follow each other.")
@click.option("--json", "as_json", is_flag=True, help="Through the JSON gateways instead of gRPC.")
@click.option(
    "--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Play this history instead."
)
@click.option("--history", type=click.Path(path_type=Path), default=Path("difference.history"), show_default=True)
def main(
    a_url: str | None,
    b_url: str | None,
    seed: int,
    operations: int,
    runs: int,
    as_json: bool,
    replay: Path | None,
    history: Path,
) -> None:
    """Sends the same random work to two servers and compares what they answer. BOTH STORES ARE EMPTIED FIRST.

    Without URLs: an etcd 3.5.1 and a `dualmode member` of its own. Start yours with --bcrypt-cost=4.
    """
    with ExitStack() as stack:
        if a_url is None or b_url is None:
            directory = Path(stack.enter_context(TemporaryDirectory()))
            a_url, b_url = (
                stack.enter_context(start(directory, flags=FLAGS)).url for start in (start_etcd, start_tested)
            )
        for number in range(seed, seed + runs):
            if not compare(a_url, b_url, number, operations, as_json, replay, history):
                sys.exit(1)


def compare(
    a_url: str, b_url: str, seed: int, operations: int, as_json: bool, replay: Path | None, history: Path
) -> bool:
    """One run; tells what it was, and whether both were equal."""
    started = time.monotonic()
    transport = JsonTransport if as_json else GrpcTransport
    a, b = (transport(urlsplit(url).netloc or url) for url in (a_url, b_url))
    revision = start_afresh(a.client, b.client)
    if replay is not None:
        with replay.open() as lines:
            report = Run(a, b, None, revision).replay(parse(lines))
    else:
        report = Run(a, b, seed, revision).draw(operations)
    a.close()
    b.close()
    show(report, time.monotonic() - started)
    if report.difference is None:
        return True
    history.write_text("\n".join(report.history_lines()) + "\n")
    print(f"\nDIFFERENCE at {report.difference}\n")
    print(f"replay on fresh servers: python -m tests.differential --replay {history}")
    return False


def show(report: Report, seconds: float) -> None:
    print(f"seed {report.seed}: {len(report.history)} operations, {report.events} watch events, {seconds:.1f} s")
    for name, count in sorted(report.answers.items()):
        print(f"{count:8d}  {name}")
    for name, count in report.known.items():
        print(f"{count:8d}  known difference: {name}")


if __name__ == "__main__":
    main()
