"""Decides: /version."""

from __future__ import annotations

import json

from dualmode.status.answers import JSON, Answer
from dualmode.status.facts import Versions


def version(versions: Versions) -> Answer:
    """etcd's three versions, and ours beside them: clients switch features on by the first, and ignore what is new."""
    body = {
        "etcdserver": versions.server,
        "etcdcluster": versions.cluster or "not_decided",
        "storage": versions.storage or "",
        "dualmode": versions.own,
    }
    return Answer(200, json.dumps(body, separators=(",", ":")).encode(), JSON)
