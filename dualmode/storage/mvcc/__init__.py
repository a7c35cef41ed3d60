"""The multi-version store: keys, their history, and what a pass of apply writes."""

from dualmode.storage.mvcc.changes import Change, Commit
from dualmode.storage.mvcc.interval import interval
from dualmode.storage.mvcc.store import Store

__all__ = ["Change", "Commit", "Store", "interval"]
