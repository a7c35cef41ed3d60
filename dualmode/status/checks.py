"""Decides: /livez and /readyz: named checks, each with a page of its own, in the form of Kubernetes' own probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from dualmode.errors import RpcError
from dualmode.status.answers import TEXT, Answer, Query, http_error
from dualmode.status.facts import ServerFacts
from dualmode.status.families import Labels

#: "" when all is well, else what is wrong.
Check = Callable[[], Awaitable[str]]
Page = Callable[[Query], Awaitable[Answer]]

_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")


def render(results: dict[str, str], is_verbose: bool) -> Answer:
    """`results`: name -> "" or the fault. A failure shows every line, whoever asked for what."""
    lines = [f"[-]{name} failed: {fault}\n" if fault else f"[+]{name} ok\n" for name, fault in results.items()]
    if any(results.values()):
        return http_error(503, "".join(lines))
    body = "".join(lines) + "ok\n" if is_verbose else "ok\n"
    return Answer(200, body.encode(), TEXT, (_NO_SNIFFING,))


class HealthChecks:
    """The checks of one server, and how they went (for `etcd_server_healthcheck...`)."""

    def __init__(self, facts: ServerFacts) -> None:
        self._facts = facts
        read_here: Check = partial(_read, facts.serializable_read)
        self._checks: dict[str, dict[str, Check]] = {
            "livez": {"serializable_read": read_here},
            "readyz": {
                "data_corruption": self._data_corruption,
                "serializable_read": read_here,
                "linearizable_read": partial(_read, facts.linearizable_read),
                "non_learner": self._non_learner,
            },
        }
        #: (type, name) -> 1 when the last result was good, else 0.
        self.last: dict[Labels, int] = {}
        #: (type, name, "success" or "error") -> how often.
        self.totals: dict[Labels, int] = {}
        for kind, checks in self._checks.items():
            for name in checks:
                self.last[kind, name] = 0
                self.totals[kind, name, "success"] = self.totals[kind, name, "error"] = 0

    def pages(self) -> dict[str, Page]:
        """Every path and what answers there."""
        pages: dict[str, Page] = {}
        for kind, checks in self._checks.items():
            pages[f"/{kind}"] = partial(self._all, kind)
            for name in checks:
                pages[f"/{kind}/{name}"] = partial(self._one, kind, name)
        return pages

    async def _all(self, kind: str, query: Query) -> Answer:
        """`exclude=NAME` (repeatable) leaves checks out, unknown names included; `verbose` lists what was checked."""
        names = [name for name in self._checks[kind] if name not in query.get("exclude", ())]
        return render({name: await self._run(kind, name) for name in names}, "verbose" in query)

    async def _one(self, kind: str, name: str, query: Query) -> Answer:
        return render({name: await self._run(kind, name)}, "verbose" in query)

    async def _run(self, kind: str, name: str) -> str:
        fault = await self._checks[kind][name]()
        self.last[kind, name] = 0 if fault else 1
        self.totals[kind, name, "error" if fault else "success"] += 1
        return fault

    async def _data_corruption(self) -> str:
        return "alarm activated: CORRUPT" if "CORRUPT" in self._facts.alarms else ""

    async def _non_learner(self) -> str:
        return "not supported for learner" if self._facts.is_learner else ""


async def _read(read: Callable[[], Awaitable[None]]) -> str:
    try:
        await read()
    except RpcError as error:
        return error.forget_raising().message
    return ""
