"""Decides: a value somebody gave for an option, and where it came from, so that a fault can name its source."""

from __future__ import annotations

from dataclasses import dataclass, field

from dualmode.config.option import Option


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from. `str()` is what faults and `dualmode config` call it."""

    kind: str  #: flag, environment, file or default
    text: str

    def __str__(self) -> str:
        return self.text


DEFAULT = Source("default", "default")


@dataclass(frozen=True, slots=True)
class Given:
    """One value in text form, not parsed yet."""

    option: Option
    text: str
    source: Source


@dataclass(slots=True)
class Reading:
    """What one source gave, in the order in which it stands there: later ones beat earlier ones."""

    given: list[Given] = field(default_factory=list)
    #: What stops us: each names its source.
    faults: list[str] = field(default_factory=list)
    #: What does not stop us, but should be said once.
    notices: list[str] = field(default_factory=list)


def hint(name: str, known: list[str], prefix: str = "") -> str:
    """`, did you mean ...?` when something close is known. A prefix that all share says nothing about closeness."""
    import difflib  # slow to import, and rarely needed

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f", did you mean {prefix}{close[0]}?" if close else ""
