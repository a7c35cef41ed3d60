"""The write-ahead log in etcd's format: the durable truth, from which the store is brought up to date after a crash."""

from dualmode.storage.wal.log import Recovered, WriteAheadLog
from dualmode.storage.wal.records import LogEntry
from dualmode.storage.wal.recovery import read_snapshots

__all__ = ["LogEntry", "Recovered", "WriteAheadLog", "read_snapshots"]
