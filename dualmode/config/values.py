"""Decides: which of the values given for an option holds, and what it is once parsed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dualmode.config.given import DEFAULT, Given, Source
from dualmode.config.option import Option
from dualmode.config.options import OPTIONS


class Values:
    """All options with their values and sources. Made from what was given, the weakest first.

    A value that cannot be parsed is a fault; the option keeps its default then, and is in `faulty`, so that checks of
    combinations leave it alone.
    """

    def __init__(self, command: str, given: Iterable[Given], options: Sequence[Option] = OPTIONS) -> None:
        self.command = command
        self.faults: list[str] = []
        self.faulty: set[str] = set()
        self._values: dict[str, Any] = {}
        self._sources: dict[str, Source] = {}
        strongest = {one.option.name: one for one in given}
        for option in options:
            self._values[option.name] = option.kind.parse(option.default_for(command))
            self._sources[option.name] = DEFAULT
            if option.name in strongest:
                self._take(strongest[option.name])

    def _take(self, one: Given) -> None:
        name = one.option.name
        self._sources[name] = one.source
        try:
            self._values[name] = one.option.kind.parse(one.text)
        except ValueError as error:
            self.faults.append(f"{one.source}: {error}")
            self.faulty.add(name)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def source(self, name: str) -> Source:
        return self._sources[name]

    def is_given(self, name: str) -> bool:
        """Whether anybody said something about it."""
        return self._sources[name] is not DEFAULT

    def are_sound(self, *names: str) -> bool:
        """Whether all of them hold what was meant, so that they may be checked against each other."""
        return not self.faulty.intersection(names)

    def show(self, option: Option) -> str:
        """The value in text form; secrets are not shown."""
        value = self._values[option.name]
        return "(hidden)" if option.is_secret and value else option.kind.show(value)

    def given_options(self) -> list[Option]:
        """In the order of the table."""
        return [option for option in OPTIONS if self.is_given(option.name)]
