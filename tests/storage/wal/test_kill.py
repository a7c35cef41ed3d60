"""A child that appends and syncs is killed at any moment: what it said was synced is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from dualmode.storage.backend import Backend
from dualmode.storage.mvcc import Store
from dualmode.storage.mvcc.keyvalue import fields
from dualmode.storage.wal import WriteAheadLog

ROUNDS = 5
SEGMENT_BYTES = 20_000

#: Appends and syncs entries, says so, applies them to the store; flushes now and then. Replays first, as a member does.
CHILD = """
import random, sys
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc import Store
from dualmode.storage.wal import LogEntry, WriteAheadLog
log, recovered = WriteAheadLog.open(sys.argv[1] + "/wal", segment_bytes=int(sys.argv[2]))
store = Store(Backend.open(sys.argv[1] + "/store"))
def apply(entries):
    store.begin_pass()
    for entry in entries:
        store.put(b"key%d" % (entry.index % 17), entry.data)
    store.end_pass(entries[-1].index, 1)
missed = [entry for entry in recovered.entries if entry.index > store.applied_index]
if missed:
    apply(missed)
print("ready", flush=True)
while True:
    size = random.choice([1, 1, 5, 40])
    first = log.last_index + 1
    entries = [LogEntry(0, 1, first + n, b"%d " % (first + n) * random.choice([1, 9, 90])) for n in range(size)]
    log.append(entries, (1, 7, first - 1))
    log.sync()
    print(entries[-1].index, flush=True)
    apply(entries)
    log.cut_if_full()
    if random.random() < 0.05:
        store.backend.flush()
"""


def test_what_was_synced_survives_a_kill(tmp_path: Path) -> None:
    WriteAheadLog.create(tmp_path / "wal", b"m", SEGMENT_BYTES).close()
    acknowledged = 0
    for _ in range(ROUNDS):
        acknowledged = run_until_killed(tmp_path, acknowledged)
        log, recovered = WriteAheadLog.open(tmp_path / "wal", segment_bytes=SEGMENT_BYTES)
        log.close()
        indexes = [entry.index for entry in recovered.entries]
        assert indexes == list(range(1, len(indexes) + 1))
        assert len(indexes) >= acknowledged
        check_store(tmp_path, {entry.index: entry.data for entry in recovered.entries})
    assert acknowledged > ROUNDS


def run_until_killed(directory: Path, acknowledged: int) -> int:
    command = [sys.executable, "-c", CHILD, str(directory), str(SEGMENT_BYTES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(random.uniform(0.05, 0.25))  # the moment of the kill is the point
        child.kill()
        for line in child.stdout:
            if line.endswith(b"\n"):
                acknowledged = int(line)
    return acknowledged


def check_store(directory: Path, entries: dict[int, bytes]) -> None:
    """The store holds exactly the effects of the entries up to its applied index."""
    store = Store(Backend.open(directory / "store"))
    applied = store.applied_index
    assert applied in entries or applied == 0
    expected = {b"key%d" % (index % 17): entries[index] for index in range(1, applied + 1)}
    found = {fields(kv).key: fields(kv).value for kv in store.select(b"\x00", b"\x00")}
    assert found == expected
    assert store.revision == applied + 1
    store.backend.close()
