"""The write-ahead log in etcd's format: the durable truth, from which the store is brought up to date after a crash."""

from dualmode.storage.wal.log import Recovered, WriteAheadLog, read_snapshots
from dualmode.storage.wal.records import LogEntry

__all__ = ["LogEntry", "Recovered", "WriteAheadLog", "read_snapshots"]
