"""Decides: docs/configuration.md, from the table of options. `python -m dualmode.config.document` writes it.

A test holds the file against this.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from dualmode.config.option import OURS, Mode, Option
from dualmode.config.options import GROUPS, OPTIONS

_HEAD: Final = """\
# Configuration

This page is made from `dualmode/config/options.py` by `python -m dualmode.config.document`; change it there.

Every option is a flag, two environment variables and a key of the YAML file. Names, meanings and defaults are
etcd's, so what starts etcd starts a member. What differs is said below.

## Where values come from

**A flag beats an environment variable, which beats the file, which beats the default.** Each source says only what
it says: a file with `name` in it leaves all other flags and variables in force. This is unlike etcd on purpose:
there a file silences every flag and variable, and a variable beside its flag is fatal.

- **Flags**: one dash or two, `--flag=value` or `--flag value`. Switches are true when they stand alone, and take a
  value behind `=` only: `--pre-vote=false`. When a flag stands twice, the last one counts.
- **Environment**: `--initial-cluster` is `DUALMODE_INITIAL_CLUSTER`, and `ETCD_INITIAL_CLUSTER` as in etcd; the
  first beats the second. Empty variables count as none. Unknown ones are warned about, not refused, because
  Kubernetes puts variables of neighbouring services (`ETCD_SERVICE_HOST`) into every container.
- **File**: `--config-file`, or `DUALMODE_CONFIG_FILE`. Keys are the names of flags; lists may be YAML lists or
  comma-separated text. The groups `client-transport-security`, `peer-transport-security` and `socket-options` nest
  as in etcd; their place stands in the tables below, and the flat name works too. Unknown keys and keys that stand
  twice are faults (etcd ignores them). A key without a value says nothing.

`dualmode config [member|proxy] [flags]` prints every option with its value and where that came from, and starts
nothing; `-w json` for machines.

## Values

- **DURATION**: `100ms`, `10s`, `1h30m`, as in Go. A bare number has no unit and is a fault, apart from 0. In the
  file both are good: text such as `10s`, and, as in etcd, a whole number of nanoseconds.
- **URL**: `http://host:port`, `https://host:port`, `unix:///path`, `unixs:///path`, and nothing behind it. A
  listener takes an IP address or `localhost`. Endpoints may be a bare `host:port`, which is http.
- **switch**: `true` or `false` (also 1, 0, t, f).

## Faults

All faults are told at once, each with its source (`--election-timeout`, `ETCD_NAME`, `member.yml line 3, name`),
with exit code 2, and nothing is started: no port is opened and no directory made. An error at the start (a port in
use, a data dir of another kind) or later is one line and exit code 1. SIGTERM and SIGINT close in order and exit
with 0; a second one leaves at once.

## Data dir

`dualmode` without a sub-command looks at the data dir, as etcd does: `member/` in it starts a member, `proxy/` a
proxy, both are fatal, and a new one becomes a member unless `--proxy` says otherwise. `dualmode member` and
`dualmode proxy` name the mode and refuse the data dir of the other one, and of etcd itself. The data dir is
`NAME.etcd`, or `NAME.proxy` for `dualmode proxy`, so that the two live side by side.

| Path in the data dir | What it is |
| --- | --- |
| `member/dualmode.json` | the mark that it is ours, with the version of the format |
| `member/wal/` | the write-ahead log, in etcd's format (`--wal-dir` moves it) |
| `member/store/` | the store (RocksDB) |
| `proxy/` | what a proxy remembers |
| `fixtures/` | certificates of `--auto-tls` |
"""


def document() -> str:
    """The whole page."""
    parts = [_HEAD]
    for group in GROUPS:
        options = [option for option in group.options if not option.ignored]
        if options:
            rows = [_row(option) for option in options]
            parts.append(
                "\n".join(
                    [f"## {group.title}\n", "| Option | Default | What it does |", "| --- | --- | --- |", *rows, ""]
                )
            )
    parts.append(
        "\n".join(
            [
                "## Accepted, and of no effect\n",
                "Flags of etcd's, of whatever release, that have nothing to do here. Giving one is logged once.\n",
                "| Option | Why |",
                "| --- | --- |",
                *(f"| {_names(option)} | {_cell(option.ignored)} |" for option in OPTIONS if option.ignored),
                "",
            ]
        )
    )
    return "\n".join(parts)


def _row(option: Option) -> str:
    default = f"`{option.default}`" if option.default else ""
    if option.proxy_default is not None:
        default = f"{default}; `{option.proxy_default}` for `dualmode proxy`".removeprefix("; ")
    notes = []
    if option.modes == (Mode.PROXY,):
        notes.append("Proxy only.")
    if option.place is not None:
        notes.append(f"In the file: `{'.'.join(option.place)}`.")
    if option.since:
        notes.append("Ours." if option.since == OURS else f"etcd {option.since}.")
    return f"| {_names(option)} | {_cell(default)} | {_cell(' '.join([option.help, *notes]))} |"


def _names(option: Option) -> str:
    value = "" if option.kind.is_switch else f" {option.kind.placeholder}"
    also = "".join(f", `--{name}`" for name in option.also if len(name) > 1)
    return _cell(f"`--{option.name}{value}`{also}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/configuration.md").write_text(document(), encoding="utf-8")
