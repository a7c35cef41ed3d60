"""Decides: /metrics: the numbers a server has bound to names, read when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dualmode.status.answers import Answer
from dualmode.status.catalogue import FAMILIES
from dualmode.status.families import render
from dualmode.status.rpc_metrics import Bindings

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class MetricsPage:
    """Parts of a server bind their numbers at start-up; a scrape reads them all."""

    def __init__(self, *more: Callable[[], str]) -> None:
        """`more` gives further text in the same format (the process)."""
        self._bindings: Bindings = {}
        self._more = more

    def bind(self, bindings: Bindings) -> None:
        """Names must be in the catalogue, and are bound once."""
        for name, read in bindings.items():
            assert name in FAMILIES, f"{name} is not in the catalogue"
            assert name not in self._bindings, f"{name} is bound twice"
            self._bindings[name] = read

    def answer(self) -> Answer:
        """The whole page, in the catalogue's order."""
        parts = [render(family, self._bindings[name]()) for name, family in FAMILIES.items() if name in self._bindings]
        parts += [text() for text in self._more]
        return Answer(200, "".join(parts).encode(), _CONTENT_TYPE)
