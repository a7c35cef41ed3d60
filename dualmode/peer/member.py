"""Decides: what is known of one member, and its JSON.

The JSON is etcd's, since it travels in the log (`ConfChange.context`), on the peer port and in snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dualmode.api import etcdserverpb


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the cluster knows it. `name` and `client_urls` are empty until it has published them."""

    id: int
    peer_urls: tuple[str, ...]
    name: str = ""
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False

    def to_json(self) -> dict[str, Any]:
        """etcd's form: empty fields are left out."""
        fields: dict[str, Any] = {"id": self.id, "peerURLs": list(self.peer_urls)}
        if self.is_learner:
            fields["isLearner"] = True
        if self.name:
            fields["name"] = self.name
        if self.client_urls:
            fields["clientURLs"] = list(self.client_urls)
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Member:
        """Reads what `to_json`, or etcd, wrote."""
        return cls(
            id=int(fields["id"]),
            peer_urls=tuple(fields.get("peerURLs") or ()),
            name=str(fields.get("name", "")),
            client_urls=tuple(fields.get("clientURLs") or ()),
            is_learner=bool(fields.get("isLearner", False)),
        )

    def to_message(self) -> Any:
        """As the Cluster service gives it."""
        return etcdserverpb.Member(
            ID=self.id,
            name=self.name,
            peerURLs=self.peer_urls,
            clientURLs=self.client_urls,
            isLearner=self.is_learner,
        )
