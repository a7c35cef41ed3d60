"""Decides: who the members are, changed by log entries only and kept in etcd's buckets `members` and `cluster`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from dualmode.member.buckets import BucketRows
from dualmode.peer.member import Member

_MEMBERS: Final = b"members"
_REMOVED: Final = b"members_removed"
_CLUSTER: Final = b"cluster"
_VERSION_ROW: Final = b"clusterVersion"


class Membership:
    """The members and the cluster's version."""

    def __init__(self, rows: BucketRows) -> None:
        self._rows = rows
        stored = (Member.from_json(json.loads(value)) for _, value in rows.bucket_rows(_MEMBERS))
        self._members: dict[int, Member] = {one.id: one for one in stored}
        version = rows.bucket_get(_CLUSTER, _VERSION_ROW)
        #: "3.6.0", or None while it is not decided.
        self.cluster_version: str | None = version.decode() if version else None

    def __len__(self) -> int:
        return len(self._members)

    def members(self) -> list[Member]:
        """All members, by id."""
        return [self._members[key] for key in sorted(self._members)]

    def get(self, member_id: int) -> Member | None:
        """One member."""
        return self._members.get(member_id)

    def put(self, member: Member) -> None:
        """A log entry has added a member or changed what is known of it."""
        self._members[member.id] = member
        self._rows.bucket_put(_MEMBERS, _row(member.id), json.dumps(member.to_json()).encode())

    def remove(self, member_id: int) -> None:
        """A conf change has removed a member; its id is never used again."""
        if self._members.pop(member_id, None) is not None:
            self._rows.bucket_delete(_MEMBERS, _row(member_id))
            self._rows.bucket_put(_REMOVED, _row(member_id), b"removed")

    def set_attributes(self, member_id: int, name: str, client_urls: list[str]) -> None:
        """A member has published its name and client URLs."""
        member = self._members.get(member_id)
        if member is not None:
            self.put(replace(member, name=name, client_urls=tuple(client_urls)))

    def set_cluster_version(self, version: str) -> None:
        """The leader has decided the cluster's version."""
        self.cluster_version = version
        self._rows.bucket_put(_CLUSTER, _VERSION_ROW, version.encode())


def _row(member_id: int) -> bytes:
    return f"{member_id:x}".encode()
