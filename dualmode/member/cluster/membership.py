"""Decides: who the members are, changed by log entries only and kept in etcd's buckets `members` and `cluster`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from dualmode import limits
from dualmode.member.buckets import BucketRows
from dualmode.peer.identity_headers import release_of
from dualmode.peer.member import Member

_MEMBERS: Final = b"members"
_REMOVED: Final = b"members_removed"
_CLUSTER: Final = b"cluster"
_VERSION_ROW: Final = b"clusterVersion"
_NEW_FORM: Final = (3, 5)


class Membership:
    """The members and the cluster's version."""

    def __init__(self, rows: BucketRows, max_learners: int = limits.MAX_LEARNERS) -> None:
        self._rows = rows
        self.max_learners = max_learners
        self._members: dict[int, Member] = {}
        self._removed: set[int] = set()
        #: "3.6.0", or None while it is not decided.
        self.cluster_version: str | None = None
        #: Called with a member's id after anything about it has changed.
        self.on_change: Callable[[int], None] = lambda member_id: None
        self.load()

    def load(self) -> None:
        """Reads everything anew: at the start, and after the store's content was replaced."""
        rows = self._rows
        stored = (Member.from_json(json.loads(value)) for _, value in rows.bucket_rows(_MEMBERS))
        self._members = {one.id: one for one in stored}
        self._removed = {int(key, 16) for key, _ in rows.bucket_rows(_REMOVED)}
        version = rows.bucket_get(_CLUSTER, _VERSION_ROW)
        self.cluster_version = version.decode() if version else None

    def __len__(self) -> int:
        return len(self._members)

    @property
    def needs_old_form(self) -> bool:
        """Whether members may be of a release before 3.5, which knows neither requests of their own for versions and
        names nor passwords that are hashed before they reach the log."""
        if self.cluster_version is None:
            return len(self._members) != 1
        return release_of(self.cluster_version) < _NEW_FORM

    def members(self) -> list[Member]:
        """All members, by id."""
        return [self._members[key] for key in sorted(self._members)]

    def get(self, member_id: int) -> Member | None:
        """One member."""
        return self._members.get(member_id)

    @property
    def learners(self) -> int:
        """How many members do not vote."""
        return sum(one.is_learner for one in self._members.values())

    @property
    def removed(self) -> list[int]:
        """The ids that were removed, in order."""
        return sorted(self._removed)

    def is_removed(self, member_id: int) -> bool:
        """Whether a member of this id was removed: the id is never used again."""
        return member_id in self._removed

    def has_known(self, member_id: int) -> bool:
        """Whether this is the id of a member, present or former."""
        return member_id in self._members or member_id in self._removed

    def uses_any(self, peer_urls: Iterable[str], but: int = 0) -> bool:
        """Whether a member other than `but` has one of these peer URLs."""
        taken = {url for one in self._members.values() if one.id != but for url in one.peer_urls}
        return not taken.isdisjoint(peer_urls)

    def put(self, member: Member) -> None:
        """A log entry has added a member or changed what is known of it."""
        self._members[member.id] = member
        text = json.dumps(member.to_json(), separators=(",", ":"))
        self._rows.bucket_put(_MEMBERS, _row(member.id), text.encode())
        self.on_change(member.id)

    def remove(self, member_id: int) -> None:
        """A conf change has removed a member; its id is never used again."""
        if self._members.pop(member_id, None) is not None:
            self._rows.bucket_delete(_MEMBERS, _row(member_id))
            self._rows.bucket_put(_REMOVED, _row(member_id), b"removed")
            self._removed.add(member_id)
            self.on_change(member_id)

    def note_removed(self, member_id: int) -> None:
        """A snapshot says that there was a member of this id once."""
        self._rows.bucket_put(_REMOVED, _row(member_id), b"removed")
        self._removed.add(member_id)

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
