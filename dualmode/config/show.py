"""Decides: what `dualmode config` prints: every option of the mode, its value, and where that came from."""

from __future__ import annotations

import json
from typing import Final

from dualmode.config.kinds import choice
from dualmode.config.load import Loaded
from dualmode.config.option import Mode, Option
from dualmode.config.options import OPTIONS

_OPTION: Final = Option("write-out", choice("table", "json"), "table", "table, or json.", also=("w",))
#: The flags that only `dualmode config` has.
WRITE_OUT: Final = dict.fromkeys(_OPTION.names, _OPTION)
#: Asked and answered before there is anything to show.
_HIDDEN: Final = frozenset({"help", "version"})


def show(loaded: Loaded, mode: Mode) -> str:
    """As a table for eyes, or as a JSON list. Raises ConfigError for an unknown format."""
    rows = [
        (option.name, loaded.values.show(option), str(loaded.values.source(option.name)))
        for option in OPTIONS
        if mode in option.modes and not option.ignored and option.name not in _HIDDEN
    ]
    if loaded.extra["write-out"] == "json":
        return json.dumps([{"name": name, "value": value, "source": source} for name, value, source in rows], indent=2)
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{name:{widths[0]}}  {value:{widths[1]}}  {source}".rstrip() for name, value, source in rows)
