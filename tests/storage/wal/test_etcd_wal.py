"""The log of a real etcd is read by ours, written again byte for byte, and what ours made of it is read by etcd."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from dualmode.api import etcdserverpb, raftpb
from dualmode.storage.raft_entries import encode_entry
from dualmode.storage.wal import LogEntry, WriteAheadLog
from dualmode.storage.wal import records as wal_records
from dualmode.storage.wal.files import list_segments
from dualmode.storage.wal.records import Encoder
from dualmode.storage.wal.scan import chained_crc, scan
from tests.interop.servers import ETCDCTL, Server, start_etcd

pytestmark = pytest.mark.interop

WRITES = 30


def ctl(server: Server, *words: str) -> str:
    command = [str(ETCDCTL), f"--endpoints={server.url}", *words]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return finished.stdout


def encode_again(segment: bytes) -> bytes:
    """What our encoder makes of the same records."""
    encoder = Encoder()
    pieces = []
    for record in scan(segment):
        if record.type == wal_records.CRC:
            encoder.crc = record.crc
        pieces.append(encoder.record(record.type, record.data))
    return b"".join(pieces)


def test_a_log_of_etcd(tmp_path: Path) -> None:
    with start_etcd(tmp_path, flags=("--snapshot-count=10",)) as server:
        for number in range(WRITES):
            ctl(server, "put", f"key{number % 7}", f"value {number}")
    (wal_directory,) = tmp_path.rglob("wal")

    contents = [path.read_bytes() for _, _, path in list_segments(wal_directory)]
    crc = None
    for content in contents:
        for record in scan(content):
            crc = chained_crc(record, crc)
        again = encode_again(content)
        assert content[: len(again)] == again
        assert not any(content[len(again) :])

    log, recovered = WriteAheadLog.open(wal_directory)
    assert recovered.repaired is None
    puts = []
    for entry in recovered.entries:
        message = raftpb.Entry(Type=entry.type, Term=entry.term, Index=entry.index)
        if entry.data:
            message.Data = entry.data
        assert encode_entry(entry) == message.SerializeToString()
        if entry.type == 0 and entry.data:
            with contextlib.suppress(DecodeError):  # etcd's own settings are requests of its second version
                request = etcdserverpb.InternalRaftRequest.FromString(entry.data)
                if request.HasField("put"):
                    puts.append((request.put.key, request.put.value))
    assert puts == [(b"key%d" % (number % 7), b"value %d" % number) for number in range(WRITES)]

    # Now ours adds to it what a member that becomes leader adds: an empty entry of a new term. etcd goes on from there.
    assert recovered.hard_state is not None
    term, vote, commit = recovered.hard_state
    log.append([LogEntry(0, term + 1, log.last_index + 1, b"")], (term + 1, vote, commit))
    log.close()
    server.start()
    with server:
        assert ctl(server, "get", "key1", "--print-value-only").strip() == "value 29"
        assert f'"raft_term":{term + 2}' in ctl(server, "get", "key1", "--write-out=json")
