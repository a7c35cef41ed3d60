"""Decides: what a member can be told about itself; where and how it listens is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dualmode import limits
from dualmode.member.auth.assembly import AuthOptions
from dualmode.member.cluster.autopilot import AutopilotRules


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """Made by `start` from the settings; the defaults are the program's own."""

    data_dir: Path
    heartbeat_seconds: float = 0.1
    election_seconds: float = 1.0
    peer_read_seconds: float = limits.PEER_READ_SECONDS
    peer_write_seconds: float = limits.PEER_READ_SECONDS
    pre_vote: bool = True
    snapshot_count: int = limits.LOG_SNAPSHOT_ENTRIES
    snapshot_catch_up_entries: int = 5_000
    max_request_bytes: int = limits.MAX_REQUEST_BYTES
    max_txn_operations: int = limits.MAX_TXN_OPERATIONS
    quota_bytes: int | None = limits.DEFAULT_QUOTA_BYTES  #: None: no quota
    watch_progress_seconds: float = 600.0
    free_space_bytes: int = limits.FREE_SPACE_BYTES
    slow_apply_seconds: float = 0.1
    fsync: bool = True
    compaction_step_rows: int = limits.COMPACTION_STEP_ROWS
    compaction_pause_seconds: float = limits.COMPACTION_PAUSE_SECONDS
    wal_segments_kept: int = limits.WAL_SEGMENTS_KEPT
    auto_compaction_mode: str = "periodic"
    auto_compaction_seconds: float = 0.0  #: periodic; 0: never
    auto_compaction_revisions: int = 0  #: revision; 0: never
    max_learners: int = limits.MAX_LEARNERS
    highest_cluster_version: str = "3.6"
    strict_reconfig_check: bool = True
    autopilot: AutopilotRules = AutopilotRules()  # noqa: RUF009 - a constant
    initial_tick_advance: bool = True
    initial_corrupt_check: bool = True
    corrupt_check_seconds: float = 0.0  #: 0: never
    compact_hash_check_seconds: float = 0.0  #: 0: never
    lease_checkpoint: bool = False
    lease_checkpoint_persist: bool = False
    auth: AuthOptions = AuthOptions()  # noqa: RUF009 - a constant

    @property
    def request_timeout_seconds(self) -> float:
        """How long a request may be on its way through the log (etcd: 5 s and two election timeouts)."""
        return 5.0 + 2 * self.election_seconds
