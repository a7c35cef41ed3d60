"""Decides: what a proxy writes to announce itself, what it reads of others, and what MemberList says then.

An announcement is a key `<prefix>/<address>` under a lease, with the value that etcd's client writes for gRPC naming
(`client/v3/naming/endpoints`), such as `{"Op":0,"Addr":"10.0.0.1:23790","Metadata":"{\"name\":\"host\"}"}`. So etcd's
proxies and ours see each other, and grpc resolvers find both. All keys that begin with the prefix count, as with etcd.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dualmode import limits
from dualmode.api import etcdserverpb, mvccpb


def announcement(prefix: bytes, address: str, hostname: str) -> tuple[bytes, bytes]:
    """The key and the value for one address, which stays the text it was given as."""
    metadata = _json({"name": hostname})
    return prefix + b"/" + address.encode(), _json({"Op": 0, "Addr": address, "Metadata": metadata}).encode()


def announced(value: bytes) -> Any | None:
    """What a value announces, as an etcdserverpb.Member with a name and one client URL. None when it announces nothing:
    anybody who may write under the prefix may write anything."""
    if len(value) > limits.PROXY_ANNOUNCEMENT_BYTES:
        return None
    found = _parsed(value)
    address = found.get("Addr")
    if not isinstance(address, str) or not address:
        return None
    metadata = found.get("Metadata")
    name = _parsed(metadata).get("name") if isinstance(metadata, str) else None
    try:
        return etcdserverpb.Member(name=name if isinstance(name, str) else "", clientURLs=[address])
    except (UnicodeError, ValueError):
        return None  # JSON can spell half a character


def member_list(others: Sequence[Any], addresses: Sequence[str], hostname: str) -> Any:
    """The answer of MemberList: the proxies that are announced, or this one while none is known. It has no header, and
    members without ids, as etcd's proxy has it."""
    own = etcdserverpb.Member(name=hostname, clientURLs=addresses)
    return etcdserverpb.MemberListResponse(members=others or [own])


class Announcements:
    """Who is announced under a prefix: filled by a range, kept up to date by the events of a watch."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Any] = {}

    def fill(self, kvs: Iterable[Any]) -> None:
        """Takes everything under the prefix, as it is now."""
        self._by_key.clear()
        for kv in kvs:
            self._put(kv)

    def apply(self, events: Iterable[Any]) -> None:
        """Takes what has changed."""
        for event in events:
            if event.type == mvccpb.Event.DELETE:
                self._by_key.pop(event.kv.key, None)
            else:
                self._put(event.kv)

    def members(self) -> list[Any]:
        """In the order of their keys."""
        return [member for _, member in sorted(self._by_key.items())]

    def __len__(self) -> int:
        return len(self._by_key)

    def _put(self, kv: Any) -> None:
        member = announced(kv.value)
        if member is None:
            self._by_key.pop(kv.key, None)
        elif kv.key in self._by_key or len(self._by_key) < limits.PROXY_ANNOUNCEMENTS:
            self._by_key[kv.key] = member


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _parsed(text: bytes | str) -> dict[str, Any]:
    """A JSON object; an empty one for everything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
