"""Decides: the command line, by the rules of Go's flag package, which etcd's users are used to.

One dash or two; `--flag=value` or `--flag value`; a switch alone means true and takes a value only behind `=`. Unlike
Go we go on after a fault, so that all of them are told at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dualmode.config.given import Given, Reading, Source, hint
from dualmode.config.option import Option


def parse_flags(arguments: Sequence[str], options: Mapping[str, Option]) -> Reading:
    """Reads all arguments; `options` by every name they have."""
    reading = Reading()
    remaining = list(reversed(arguments))
    while remaining:
        argument = remaining.pop()
        if argument == "--":
            reading.faults += [_positional(word, None) for word in reversed(remaining)]
            break
        if len(argument) < 2 or not argument.startswith("-"):
            reading.faults.append(_positional(argument, reading.given[-1] if reading.given else None))
            continue
        name, equals, text = argument.removeprefix("-").removeprefix("-").partition("=")
        if not name or name.startswith("-"):
            reading.faults.append(f"bad flag syntax: {argument}")
            continue
        option = options.get(name)
        if option is None:
            reading.faults.append(f"flag provided but not defined: --{name}{hint(name, list(options), '--')}")
            if not equals and remaining and not remaining[-1].startswith("-"):
                remaining.pop()  # its value, most likely
            continue
        if not equals:
            if option.kind.is_switch:
                text = "true"
            elif remaining:
                text = remaining.pop()
            else:
                reading.faults.append(f"flag needs an argument: --{name}")
                continue
        reading.given.append(Given(option, text, Source("flag", f"--{name}")))
    return reading


def _positional(word: str, before: Given | None) -> str:
    """etcd's words, and the usual reason: `--pre-vote false`, where Go wants an equals sign."""
    if before is not None and before.option.kind.is_switch and word in ("true", "false"):
        return f"'{word}' is not a valid flag, did you mean {before.source}={word}?"
    return f"'{word}' is not a valid flag"
