"""Decides: how `snapshot status` prints what it found: etcdutl's four forms, character for character."""

from __future__ import annotations

import json
import math
from typing import Final

from dualmode.storage.bbolt.summary import Summary

FORMATS: Final = ("simple", "table", "json", "fields")
_HEADINGS: Final = ("HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE")


def show(summary: Summary, form: str) -> str:
    """The text, without a newline at its end."""
    if form == "json":
        return json.dumps(
            {
                "hash": summary.hash,
                "revision": summary.revision,
                "totalKey": summary.total_keys,
                "totalSize": summary.total_bytes,
            },
            separators=(",", ":"),
        )
    if form == "fields":
        return (
            f'"Hash" : {summary.hash}\n"Revision" : {summary.revision}\n'
            f'"Keys" : {summary.total_keys}\n"Size" : {summary.total_bytes}'
        )
    cells = [f"{summary.hash:x}", str(summary.revision), str(summary.total_keys), in_words(summary.total_bytes)]
    return ", ".join(cells) if form == "simple" else _table(cells)


def in_words(size: int) -> str:
    """Bytes in decimal units of a thousand, one decimal below ten of them ("20 kB", "1.5 MB")."""
    if size < 10:
        return f"{size} B"
    power = int(math.log(size) / math.log(1000))
    value = math.floor(size / 1000**power * 10 + 0.5) / 10
    unit = ("B", "kB", "MB", "GB", "TB", "PB", "EB")[power]
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def _table(cells: list[str]) -> str:
    widths = [max(len(heading), len(cell)) for heading, cell in zip(_HEADINGS, cells, strict=True)]
    line = "+".join(["", *("-" * (width + 2) for width in widths), ""])
    headings = [_centred(heading, width) for heading, width in zip(_HEADINGS, widths, strict=True)]
    row = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "\n".join([line, f"| {' | '.join(headings)} |", line, f"| {' | '.join(row)} |", line])


def _centred(text: str, width: int) -> str:
    """An odd gap has its greater half on the right."""
    return (" " * ((width - len(text)) // 2) + text).ljust(width)
