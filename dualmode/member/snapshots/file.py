"""Does: makes the store, as it is at one moment, into a bbolt file without a name.

The file is made whole before any of it is sent: a bbolt file cannot be written from front to back. It has no name in
the file system, so it is gone when whoever sends it is done, however that happens. It is made in a thread, from a view
of the store; making it is Python's work, so the thread lets go of the interpreter every millisecond or so, for the
member's other clients, and not in between (the file is buffered by the megabyte): a thread that lets go at every write
starves beside a busy loop.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import trio

from dualmode import limits
from dualmode.errors import NoSpaceError, StorageError
from dualmode.member.maintenance.snapshot_conf_state import encode_conf_state
from dualmode.member.surroundings import RunBlocking
from dualmode.raft import ConfState
from dualmode.storage.bbolt.dump import dump
from dualmode.storage.bbolt.writer import Writer
from dualmode.storage.mvcc.store import Store


class SnapshotFiles:
    """Makes them in `directory`, one at a time: several threads at Python's work would leave the loop little of it."""

    def __init__(self, store: Store, directory: Path, run_blocking: RunBlocking) -> None:
        self._store = store
        self._directory = directory
        self._run_blocking = run_blocking
        self._making = trio.Lock()

    async def make(
        self, stack: ExitStack, conf_state: Callable[[], ConfState], readable_by: tuple[int, int] | None
    ) -> tuple[IO[bytes], int]:
        """The file, which `stack` closes, at its beginning, and its size in bytes. It is of the store as it is at the
        moment when `conf_state` is asked. `readable_by` is as `dump` has it. Raises `StorageError`, which for a disk
        without room is a `NoSpaceError`."""
        async with self._making:
            self._check_room()
            return await self._make(stack, conf_state(), readable_by)

    async def _make(
        self, stack: ExitStack, conf_state: ConfState, readable_by: tuple[int, int] | None
    ) -> tuple[IO[bytes], int]:
        encoded = encode_conf_state(conf_state)
        view = self._store.backend.view()
        try:
            file = tempfile.TemporaryFile(dir=self._directory, buffering=limits.SNAPSHOT_READ_BYTES)  # noqa: SIM115
            stack.enter_context(file)
            return file, await self._run_blocking(_write, view, encoded, file, readable_by)
        except OSError as error:
            raise StorageError(f"cannot make a snapshot in {self._directory}: {error.strerror}") from error
        finally:
            view.close()

    def _check_room(self) -> None:
        """The file must not take the room that the log and the store need to go on."""
        try:
            free = shutil.disk_usage(self._directory).free
        except OSError as error:
            raise StorageError(f"cannot make a snapshot in {self._directory}: {error.strerror}") from error
        needed = self._store.total_size + limits.FREE_SPACE_BYTES
        if free < needed:
            raise NoSpaceError(f"no space left on device: {free} bytes are free, {needed} needed")


def _write(view: Any, conf_state: bytes, file: IO[bytes], readable_by: tuple[int, int] | None) -> int:
    """Runs in a thread. Ends early, by raising Cancelled, when nobody wants it any more."""
    dump(view, conf_state, Writer(file), _breathe, readable_by)
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _breathe() -> None:
    if _is_in_thread():
        trio.from_thread.check_cancelled()
        time.sleep(limits.SNAPSHOT_PAUSE_SECONDS)


def _is_in_thread() -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return True
    return False
