"""Decides: the JSON of etcd's v2 store, which a snapshot between members carries beside the database.

Members of etcd 3.4 and 3.5 take the membership and the cluster's version from it, and 3.6 still sends it. Only that
is in it: nodes under `/0`. The rest (`/1`, where the v2 API had its keys; a history of events) is there because etcd's
reader does not check before it follows a pointer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from dualmode.errors import StorageError
from dualmode.peer.member import Member

_NEVER: Final = "0001-01-01T00:00:00Z"
_EVENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What the JSON says. `version` is None while the cluster has decided none."""

    members: tuple[Member, ...]
    removed: tuple[int, ...]
    version: str | None


def encode(members: Iterable[Member], removed: Iterable[int], version: str | None, index: int) -> bytes:
    """The JSON as of a log index."""
    cluster: dict[str, Any] = {
        "members": _folder("/0/members", {f"{one.id:x}": _member_node(one) for one in members}),
        "removed_members": _folder(
            "/0/removed_members", {f"{one:x}": _leaf(f"/0/removed_members/{one:x}", "") for one in removed}
        ),
    }
    if version is not None:
        cluster["version"] = _leaf("/0/version", version)
    queue = {"Events": [None] * _EVENTS, "Size": 0, "Front": 0, "Back": 0, "Capacity": _EVENTS}
    store = {
        "Root": _folder("/", {"0": _folder("/0", cluster), "1": _folder("/1", {})}),
        "WatcherHub": {"EventHistory": {"Queue": queue, "StartIndex": 0, "LastIndex": 0}},
        "CurrentIndex": index,
        "Stats": {},
        "CurrentVersion": 2,
    }
    return json.dumps(store, separators=(",", ":")).encode()


def _node(path: str) -> dict[str, Any]:
    return {"Path": path, "CreatedIndex": 0, "ModifiedIndex": 0, "ExpireTime": _NEVER, "Value": ""}


def _folder(path: str, children: dict[str, Any]) -> dict[str, Any]:
    return _node(path) | {"Children": children}


def _leaf(path: str, value: str) -> dict[str, Any]:
    return _node(path) | {"Value": value, "Children": None}


def _member_node(member: Member) -> dict[str, Any]:
    path = f"/0/members/{member.id:x}"
    raft: dict[str, Any] = {"peerURLs": list(member.peer_urls)}
    if member.is_learner:
        raft["isLearner"] = True
    children = {"raftAttributes": _leaf(f"{path}/raftAttributes", json.dumps(raft, separators=(",", ":")))}
    if member.name or member.client_urls:
        attributes: dict[str, Any] = {"name": member.name}
        if member.client_urls:
            attributes["clientURLs"] = list(member.client_urls)
        children["attributes"] = _leaf(f"{path}/attributes", json.dumps(attributes, separators=(",", ":")))
    return _folder(path, children)


def decode(data: bytes) -> ClusterState:
    """Reads what etcd, or `encode`, wrote. Raises `StorageError` when it is something else."""
    try:
        cluster = json.loads(data)["Root"]["Children"]["0"]["Children"]
        members = [_member(key, node) for key, node in _children(cluster, "members").items()]
        removed = [int(key, 16) for key in _children(cluster, "removed_members")]
        version = cluster["version"]["Value"] if "version" in cluster else None
        if version is not None and not isinstance(version, str):
            raise TypeError("the version is no text")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(f"the snapshot does not carry the JSON of etcd's v2 store: {error!r}") from None
    return ClusterState(tuple(sorted(members, key=lambda one: one.id)), tuple(sorted(removed)), version)


def _children(cluster: dict[str, Any], name: str) -> dict[str, Any]:
    return (cluster.get(name) or {}).get("Children") or {}


def _member(key: str, node: dict[str, Any]) -> Member:
    children = node["Children"]
    raft = json.loads(children["raftAttributes"]["Value"])
    fields = json.loads(children["attributes"]["Value"]) if "attributes" in children else {}
    return Member.from_json({"id": int(key, 16)} | raft | fields)
