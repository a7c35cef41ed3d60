"""Decides: the downgrade of a cluster as etcd 3.6 has it: what may be asked for, and what is known of one under way.

A downgrade goes one minor version down. It is "enabled" through the log; from then on the leader may lower the version
of the cluster, members of the lower version may join, and it is over when all have it, or when it is canceled.
"""

from __future__ import annotations

import json
import re
from typing import Final

from dualmode import errors
from dualmode.member.buckets import BucketRows

_BUCKET: Final = b"cluster"
_ROW: Final = b"downgrade"
#: X.Y.Z with what semantic versions allow behind it, or X.Y.
_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})(?:\.\d{1,9}(?:-[0-9A-Za-z.-]*)?(?:\+[0-9A-Za-z.+-]*)?)?", re.ASCII)


def parse_version(text: str) -> tuple[int, int]:
    """(major, minor) of a version, which a client may have written. Raises WRONG_DOWNGRADE_VERSION_FORMAT."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise errors.WRONG_DOWNGRADE_VERSION_FORMAT
    return int(match[1]), int(match[2])


def short_version(version: str) -> str:
    """ "3.6.0" as "3.6"."""
    return ".".join(version.split(".")[:2])


def check_target(target: tuple[int, int], cluster_version: str | None, is_enabled: bool) -> None:
    """Whether a downgrade to this version may begin now. Raises CLUSTER_VERSION_UNAVAILABLE, INVALID_DOWNGRADE_TARGET,
    DOWNGRADE_IN_PROCESS."""
    if cluster_version is None:
        raise errors.CLUSTER_VERSION_UNAVAILABLE
    major, minor = parse_version(cluster_version)
    if target != (major, minor - 1):
        raise errors.INVALID_DOWNGRADE_TARGET
    if is_enabled:
        raise errors.DOWNGRADE_IN_PROCESS


class Downgrade:
    """The downgrade under way, kept in etcd's bucket `cluster`."""

    def __init__(self, rows: BucketRows) -> None:
        self._rows = rows
        self.is_enabled = False
        #: "3.5.0"; empty when none is under way.
        self.target_version = ""
        self.load()

    def load(self) -> None:
        """Reads everything anew: at the start, and after the store's content was replaced."""
        stored = self._rows.bucket_get(_BUCKET, _ROW)
        fields = json.loads(stored) if stored else {}
        self.is_enabled = bool(fields.get("enabled", False))
        self.target_version = str(fields.get("target-version", ""))

    def set(self, is_enabled: bool, target_version: str) -> None:
        """A log entry has begun one or ended it."""
        self.is_enabled = is_enabled
        self.target_version = target_version if is_enabled else ""
        fields = {"target-version": self.target_version, "enabled": is_enabled}
        self._rows.bucket_put(_BUCKET, _ROW, json.dumps(fields, separators=(",", ":")).encode())
