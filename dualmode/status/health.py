"""Decides: /health, the older of etcd's two health pages: one word, and since 3.5 the reason."""

from __future__ import annotations

import json
from collections.abc import Collection

from dualmode.errors import RpcError
from dualmode.status.answers import TEXT, Answer, Query
from dualmode.status.facts import ServerFacts


def fault(facts: ServerFacts, excluded_alarms: Collection[str], is_serializable: bool) -> str:
    """What can be told without asking the store; "" for nothing."""
    for alarm in facts.alarms:
        if alarm not in excluded_alarms:
            return f"ALARM {alarm}"
    if not is_serializable and not facts.has_leader:
        return "RAFT NO LEADER"
    return ""


class HealthPage:
    """Counts as etcd does: `etcd_server_health_success` and `_failures`."""

    def __init__(self, facts: ServerFacts) -> None:
        self._facts = facts
        self.successes = 0
        self.failures = 0

    async def answer(self, query: Query) -> Answer:
        """`exclude=ALARM` (repeatable) overlooks alarms; `serializable=true` asks this server alone."""
        is_serializable = query.get("serializable", [""])[0] == "true"
        reason = fault(self._facts, query.get("exclude", ()), is_serializable)
        if not reason:
            try:
                await (self._facts.serializable_read() if is_serializable else self._facts.linearizable_read())
            except RpcError as error:
                reason = f"RANGE ERROR:{error.forget_raising().message}"
        if reason:
            self.failures += 1
        else:
            self.successes += 1
        body = {"health": "false" if reason else "true", "reason": reason}
        return Answer(503 if reason else 200, json.dumps(body, separators=(",", ":")).encode(), TEXT)
