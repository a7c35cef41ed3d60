"""Does: `dualmode snapshot`: saves, looks into and restores snapshots, and takes over the data dir of an etcd.

`save`, `status` and `restore` take the arguments of etcdctl and etcdutl and answer in their words. Restoring makes the
data dir of a member, which is the member's own knowledge: `main` hands it in.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from dualmode import limits
from dualmode.config.urls import parse_initial_cluster, parse_urls
from dualmode.ctl.snapshot_status import FORMATS, show
from dualmode.errors import DualmodeError, StorageError
from dualmode.storage.bbolt.check import check
from dualmode.storage.bbolt.files import open_mapped
from dualmode.storage.bbolt.summary import summarise
from dualmode.urls import Url


class Tell(Protocol):
    """Hears what is being done, and how far it has come (None: it begins)."""

    def __call__(self, doing: str, count: int | None, /) -> None: ...


class Restore(Protocol):
    """`member.maintenance.snapshot_restore`, with a plan's fields as arguments."""

    def __call__(self, source: Path, tell: Tell, **plan: Any) -> Any: ...


class Import(Protocol):
    """`member.maintenance.snapshot_import.import_data_dir`."""

    def __call__(
        self, source: Path, target: Path, source_wal_dir: Path | None, target_wal_dir: Path | None, tell: Tell, /
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What is handed in."""

    restore: Restore
    import_data_dir: Import


def main(arguments: Sequence[str], tools: Tools) -> int:
    """Runs `dualmode snapshot ...` and gives the exit code."""
    try:
        snapshot.main(list(arguments), prog_name="dualmode snapshot", standalone_mode=False, obj=tools)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except DualmodeError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    return 0


class _UrlList(click.ParamType[tuple[Url, ...]]):
    name = "urls"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Url, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return parse_urls(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Cluster(click.ParamType[dict[str, tuple[Url, ...]]]):
    name = "name=url,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, tuple[Url, ...]]:
        if isinstance(value, dict):
            return value
        try:
            return parse_initial_cluster(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def snapshot() -> None:
    """Snapshots: the whole store in one file, which etcd restores too, as we do its."""


@snapshot.command()
@click.argument("file", type=_PATH)
@click.option("--endpoints", default="127.0.0.1:2379", show_default=True, help="The one member to ask.")
@click.option("--cacert", default="", help="Authorities to verify the member by.")
@click.option("--cert", default="", help="Certificate to show to the member.")
@click.option("--key", default="", help="Its key.")
@click.option("--insecure-skip-tls-verify", is_flag=True, help="Take any certificate.")
@click.option("--user", default="", help="name:password, when authentication is on.")
def save(
    file: Path, endpoints: str, cacert: str, cert: str, key: str, insecure_skip_tls_verify: bool, user: str
) -> None:
    """Takes a snapshot of a running member, ours or etcd's, into FILE."""
    if "," in endpoints:
        raise click.UsageError("snapshot must be requested to one selected node, not multiple")
    from dualmode.ctl.snapshot_save import save_snapshot  # the others need no network

    size = save_snapshot(file, endpoints, cacert, cert, key, insecure_skip_tls_verify, user)
    click.echo(f"{size} bytes", err=True)
    click.echo(f"Snapshot saved at {file}")


@snapshot.command()
@click.argument("file", type=_PATH)
@click.option("-w", "--write-out", "form", default="simple", show_default=True, type=click.Choice(FORMATS))
def status(file: Path, form: str) -> None:
    """Checks FILE and prints its hash, newest revision, number of keys, and size."""
    tell = Progress()
    with open_mapped(file) as mapped:
        try:
            check(mapped.bbolt, lambda count: tell("checking the file", count))
        except StorageError as error:
            raise StorageError(f"snapshot file integrity check failed: {file}: {error}") from None
        summary = summarise(mapped.bbolt, lambda count: tell("hashing", count))
    click.echo(show(summary, form))


@snapshot.command()
@click.argument("file", type=_PATH)
@click.option("--data-dir", type=_PATH, help="Data dir to make.  [default: NAME.etcd]")
@click.option("--wal-dir", type=_PATH, help="Where the log goes, when not into the data dir.")
@click.option("--name", default="default", show_default=True, help="This member's name.")
@click.option("--initial-cluster", default="default=http://localhost:2380", show_default=True, type=_Cluster())
@click.option("--initial-cluster-token", default="etcd-cluster", show_default=True)
@click.option("--initial-advertise-peer-urls", default="http://localhost:2380", show_default=True, type=_UrlList())
@click.option("--skip-hash-check", is_flag=True, help="The file has no hash: it was copied from a data dir.")
@click.option("--bump-revision", default=0, type=click.IntRange(0, 1 << 62), help="Raise the newest revision by this.")
@click.option("--mark-compacted", is_flag=True, help="Mark all revisions up to there as compacted.")
@click.pass_obj
def restore(
    tools: Tools,
    file: Path,
    data_dir: Path | None,
    wal_dir: Path | None,
    name: str,
    initial_cluster: dict[str, tuple[Url, ...]],
    initial_cluster_token: str,
    initial_advertise_peer_urls: tuple[Url, ...],
    skip_hash_check: bool,
    bump_revision: int,
    mark_compacted: bool,
) -> None:
    """Makes the data dir of a new cluster's member from FILE. Run it for every member of the cluster."""
    if bool(bump_revision) != mark_compacted:
        raise click.UsageError("--bump-revision and --mark-compacted go together")
    directory = data_dir or Path(f"{name}.etcd")
    loaded = tools.restore(
        file,
        Progress(),
        data_dir=directory,
        wal_dir=wal_dir,
        name=name,
        initial_cluster={member: [str(url) for url in urls] for member, urls in initial_cluster.items()},
        cluster_token=initial_cluster_token,
        advertise_peer_urls=[str(url) for url in initial_advertise_peer_urls],
        skip_hash_check=skip_hash_check,
        bump_revision=bump_revision,
    )
    _warn_of_lost_leases(loaded)
    click.echo(f"restored {loaded.records} records up to revision {loaded.state.revision} into {directory}", err=True)


@snapshot.command(name="import")
@click.argument("etcd_data_dir", metavar="DATA-DIR", type=_PATH)
@click.argument("data_dir", metavar="NEW-DATA-DIR", type=_PATH)
@click.option("--wal-dir", type=_PATH, help="Where etcd kept its log, when not in the data dir.")
@click.option("--new-wal-dir", type=_PATH, help="Where the log goes, when not into the new data dir.")
@click.pass_obj
def import_(tools: Tools, etcd_data_dir: Path, data_dir: Path, wal_dir: Path | None, new_wal_dir: Path | None) -> None:
    """Takes over the data dir of an etcd that has stopped: the same member goes on as ours."""
    imported = tools.import_data_dir(etcd_data_dir, data_dir, wal_dir, new_wal_dir, Progress())
    _warn_of_lost_leases(imported.loaded)
    state = imported.loaded.state
    click.echo(
        f"imported member {imported.member_id:x} of cluster {imported.cluster_id:x} into {data_dir}: "
        f"{imported.loaded.records} records up to revision {state.revision}; "
        f"{imported.waiting_entries} log entries behind that are applied at the first start",
        err=True,
    )
    if imported.members > 1:
        click.echo(f"it is one of {imported.members} members: it leads, or follows, only together with them", err=True)


def _warn_of_lost_leases(loaded: Any) -> None:
    for lease in sorted(loaded.lost_leases):
        click.echo(f"warning: keys name the lease {lease:x}, which is not there: they will not expire", err=True)


class Progress:
    """Tells on stderr how long work comes along, every few seconds."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def __call__(self, doing: str, count: int | None, /) -> None:
        now = time.monotonic()
        if count is not None and now - self._told_at >= limits.PROGRESS_SECONDS:
            self._told_at = now
            print(f"{doing}: {count}", file=sys.stderr, flush=True)
