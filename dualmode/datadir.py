"""Decides: what a data dir is, from a listing of it; and a thin part that lists, and marks what we make.

    <data-dir>/member/dualmode.json   {"format": 1}: this member directory is ours
    <data-dir>/member/wal/            write-ahead log, in etcd's format
    <data-dir>/member/store/          RocksDB
    <data-dir>/proxy/                 what a proxy remembers

etcd's own has `member/snap/db` and a `member/wal` without our mark. Reading it as ours would see a log and no data, so
it is refused, with the way to bring it over.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dualmode.config.option import Mode
from dualmode.errors import StartError

FORMAT: Final = 1
MARKER: Final = "dualmode.json"
#: Beside the modes' own: certificates of --auto-tls, and what file systems put there.
_EXPECTED: Final = frozenset({"member", "proxy", "fixtures", "lost+found"})
_MARKER_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is to see in a data dir; empty when it does not exist."""

    path: str
    names: frozenset[str] = frozenset()
    member_names: frozenset[str] = frozenset()
    has_log: bool = False  #: segments in member/wal
    has_bbolt: bool = False  #: member/snap/db
    marker: str | None = None  #: contents of the marker file


def identify(listing: Listing) -> Mode | None:
    """The mode that this data dir belongs to, or None for a new one. Raises StartError for what we cannot run on."""
    modes = [mode for mode in Mode if mode in listing.names]
    if len(modes) > 1:
        raise StartError(
            f"invalid datadir {listing.path}; both member and proxy directories exist. "
            "Move away the one that is not wanted"
        )
    if not modes:
        return None
    if modes[0] is Mode.MEMBER:
        _check_member(listing)
    return modes[0]


def check_mode(listing: Listing, wanted: Mode) -> None:
    """That a mode which was asked for by name may run here. Raises StartError."""
    found = identify(listing)
    if found is not None and found is not wanted:
        raise StartError(
            f"{listing.path} is the data dir of a {found}, and a {wanted} was asked for: "
            f"give the {wanted} a --data-dir of its own, or run `dualmode {found}`"
        )


def unexpected(listing: Listing) -> list[str]:
    """Names that neither we nor etcd put there: worth a warning, as in etcd."""
    return sorted(listing.names - _EXPECTED)


def _check_member(listing: Listing) -> None:
    if listing.marker is None:
        if listing.has_bbolt or listing.has_log:
            raise StartError(
                f"{listing.path} was written by etcd, which keeps its data in another form. Bring it over with "
                f"`dualmode snapshot import {listing.path} NEW-DATA-DIR`, or join its cluster with an empty data dir"
            )
        if listing.member_names:
            raise StartError(
                f"{listing.path}/member is not empty and has no {MARKER}: it is not known who made it. "
                "Put the file back from a copy, or start with an empty data dir"
            )
        return
    found = _format(listing)
    if found > FORMAT:
        raise StartError(
            f"{listing.path} was written by a newer dualmode (format {found}, this one knows {FORMAT}): use that one"
        )


def _format(listing: Listing) -> int:
    try:
        found = json.loads(listing.marker or "")["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if type(found) is not int or found < 1:
        raise StartError(f'{listing.path}/member/{MARKER} is damaged; it should hold {{"format": {FORMAT}}}')
    return found


# --- What touches the disk -----------------------------------------------------------------------------------


def read_listing(path: Path, wal_dir: Path | None = None) -> Listing:
    """Looks into a data dir that may not exist. Raises StartError when it cannot be looked into."""
    names = _names(path)
    member = path / Mode.MEMBER
    return Listing(
        path=str(path),
        names=names,
        member_names=_names(member),
        has_log=any(name.endswith(".wal") for name in _names(wal_dir or member / "wal")),
        has_bbolt="db" in _names(member / "snap"),
        marker=_read_marker(member / MARKER),
    )


def claim(path: Path, mode: Mode) -> Path:
    """Makes the mode's directory in the data dir, and a member's mark, unless they are there. Gives the directory.

    Raises StartError when it cannot be written to. May be called again.
    """
    directory = path / mode
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise StartError(f"cannot write to the data dir {path}: Permission denied")
        if mode is Mode.MEMBER and not (directory / MARKER).exists():
            _write_durably(directory / MARKER, json.dumps({"format": FORMAT}) + "\n")
    except OSError as error:
        raise StartError(f"cannot write to the data dir {path}: {error.strerror}") from error
    return directory


def _names(path: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(path))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise StartError(f"error listing data dir {path}: {error.strerror}") from error


def _read_marker(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_MARKER_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}") from error


def _write_durably(path: Path, text: str) -> None:
    """Whole or not at all, and still there after a power cut."""
    making = path.with_suffix(".tmp")
    with making.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    making.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
