"""Decides: durations as Go writes them ("1h15m", "1.5s", "100ms", "0"), in whole nanoseconds and back.

Nanoseconds because that is what etcd's YAML file holds; nothing is rounded on the way.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

SECOND: Final = 1_000_000_000
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu; Go takes both
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
#: Go's time.Duration is a signed 64-bit number of nanoseconds: about 292 years.
LONGEST: Final = 2**63 - 1
_PART: Final = re.compile(rf"([0-9]*)(?:\.([0-9]*))?({'|'.join(_UNITS)})")
#: Longer texts are no durations; keeps the arithmetic below small.
_TEXT_CHARACTERS: Final = 64


def parse_duration(text: str) -> int:
    """Nanoseconds. Raises ValueError with Go's words for what is not a duration."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    if not rest or len(text) > _TEXT_CHARACTERS:
        raise ValueError(f'invalid duration "{text[:_TEXT_CHARACTERS]}"')
    total, at = Fraction(0), 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None or not (part[1] or part[2]):
            raise ValueError(_fault(text, rest[at:]))
        digits = f"{part[1] or '0'}.{part[2] or '0'}"
        total += Fraction(digits) * _UNITS[part[3]]
        at = part.end()
    nanoseconds = int(total)  # Go cuts off fractions of a nanosecond too
    if nanoseconds > LONGEST:
        raise ValueError(f'invalid duration "{text}": longer than 292 years')
    return sign * nanoseconds


def _fault(text: str, rest: str) -> str:
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", rest):
        return f'missing unit in duration "{text}" (write 10s, 5m, 1h30m)'
    return f'invalid duration "{text}"'


def format_duration(nanoseconds: int) -> str:
    """As Go prints it: 1h15m0s, 1.5s, 100ms, 0s."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    if rest < SECOND:
        unit = next(name for name in ("ms", "\u00b5s", "ns") if rest >= _UNITS[name])
        return f"{sign}{_decimal(rest, _UNITS[unit])}{unit}"
    minutes, seconds = divmod(rest, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(seconds, SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}}".rstrip("0").rstrip(".") if rest else str(whole)
