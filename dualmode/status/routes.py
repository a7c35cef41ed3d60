"""Does: plain HTTP routes of the client and the metrics listeners: /version, /health, /livez, /readyz, /metrics,
/debug/vars. A path that is none of them is the mux's 404."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dualmode.http.interface import RequestHead
from dualmode.http.routing import Link, Route, Sink
from dualmode.status.answers import Answer, Query, not_allowed, query_of
from dualmode.status.checks import HealthChecks
from dualmode.status.debug_vars import debug_vars
from dualmode.status.facts import ServerFacts
from dualmode.status.health import HealthPage
from dualmode.status.metrics import MetricsPage
from dualmode.status.version import version

_GET = (b"GET",)
_ANY_READ = (b"GET", b"HEAD")


class PageRoute:
    """The Route of one page that is made at once. Only the methods given are served."""

    body_limit = 0

    def __init__(self, page: Callable[[], Answer], methods: tuple[bytes, ...] = _GET) -> None:
        self._page = page
        self._methods = methods

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""
        answer = self._page() if head.method in self._methods else not_allowed(*self._methods)
        link.respond(stream_id, answer.head, b"" if head.method == b"HEAD" else answer.body)
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """A body says nothing here."""
        self.serve(link, stream_id, head, b"")


class AwaitedPageRoute:
    """The Route of a page that has to ask the store or the cluster first."""

    body_limit = 0

    def __init__(self, page: Callable[[Query], Awaitable[Answer]]) -> None:
        self._page = page

    def serve(self, link: Link, stream_id: int, head: RequestHead, body: bytes) -> Sink | None:
        """See routing.Route."""

        async def answer() -> None:
            page = await self._page(query_of(head))
            link.respond(stream_id, page.head, page.body)

        if head.method == b"GET":
            link.spawn(answer)
        else:
            refused = not_allowed(*_GET)
            link.respond(stream_id, refused.head, refused.body)
        return None

    def refuse_body(self, link: Link, stream_id: int, head: RequestHead, start: bytes) -> None:
        """A body says nothing here."""
        self.serve(link, stream_id, head, b"")


class StatusRoutes:
    """All routes of one server. Its counters are for the metrics page."""

    def __init__(self, facts: ServerFacts, metrics: MetricsPage, command_line: list[str]) -> None:
        self.health = HealthPage(facts)
        self.checks = HealthChecks(facts)
        self._facts = facts
        self._metrics = metrics
        self._command_line = command_line
        metrics.bind(
            {
                "etcd_server_health_success": lambda: self.health.successes,
                "etcd_server_health_failures": lambda: self.health.failures,
                "etcd_server_healthcheck": lambda: self.checks.last,
                "etcd_server_healthchecks_total": lambda: self.checks.totals,
            }
        )

    def client(self) -> dict[bytes, Route]:
        """Exact paths of the client listener."""
        facts = self._facts
        return {
            b"/version": PageRoute(lambda: version(facts.versions)),
            b"/debug/vars": PageRoute(lambda: debug_vars(self._command_line, facts.raft_status)),
            **self.monitoring(),
        }

    def monitoring(self) -> dict[bytes, Route]:
        """Exact paths of listeners that serve metrics only (`--listen-metrics-urls`)."""
        routes: dict[bytes, Route] = {
            b"/metrics": PageRoute(self._metrics.answer, _ANY_READ),
            b"/health": AwaitedPageRoute(self.health.answer),
        }
        for path, page in self.checks.pages().items():
            routes[path.encode()] = AwaitedPageRoute(page)
        return routes
