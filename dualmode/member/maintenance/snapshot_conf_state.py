"""Decides: etcd's JSON of who votes, which it keeps in bucket `meta` of its database."""

from __future__ import annotations

import json
from typing import Final

from dualmode.errors import StorageError
from dualmode.raft import ConfState

_LISTS: Final = ("voters", "learners", "voters_outgoing", "learners_next")


def encode_conf_state(conf_state: ConfState) -> bytes:
    """Empty lists are left out, as etcd does."""
    fields: dict[str, object] = {name: list(getattr(conf_state, name)) for name in _LISTS if getattr(conf_state, name)}
    return json.dumps(fields | {"auto_leave": conf_state.auto_leave}, separators=(",", ":")).encode()


def decode_conf_state(text: bytes) -> ConfState:
    """Reads what etcd wrote. Raises `StorageError` when it is something else."""
    try:
        fields = json.loads(text)
        lists = {name: tuple(int(one) for one in fields.get(name) or ()) for name in _LISTS}
        return ConfState(**lists, auto_leave=bool(fields.get("auto_leave", False)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise StorageError(f"bucket meta: confState is not what etcd writes: {text[:100]!r}") from None
