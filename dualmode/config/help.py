"""Decides: the texts of --help and --version, made from the table of options."""

from __future__ import annotations

import platform
import textwrap
from importlib.util import find_spec
from typing import Final

from dualmode import ETCD_VERSION, __version__
from dualmode.config.option import OURS, Mode, Option
from dualmode.config.options import GROUPS

_WIDTH: Final = 100
_INDENT: Final = "      "

_OVERVIEW: Final = """\
dualmode: an etcd v3 server and gateway. One program, two modes.

Usage:
  dualmode [flags]           as `etcd [flags]`: a member, or what the data dir says
  dualmode member [flags]    a full server: storage, Raft, every v3 API over gRPC and JSON
  dualmode proxy [flags]     a gateway in front of members, ours or etcd's
  dualmode config [member|proxy] [flags] [-w json]
                             every option, its value, and where that came from
  dualmode certs create      certificates for development
  dualmode certs show FILE   what is in a certificate
  dualmode snapshot save|status|restore FILE
                             snapshots: etcd restores ours, we restore etcd's
  dualmode snapshot import DATA-DIR NEW-DATA-DIR
                             takes over the data dir of an etcd that has stopped
  dualmode version           our version, and the etcd release we answer as
  dualmode help member       all options of a member (or: help proxy)

Examples:
  dualmode                                        one member on localhost:2379, data in default.etcd
  dualmode --config-file conf/member.yml          the same, from a file
  dualmode proxy --endpoints 10.0.0.1:2379,10.0.0.2:2379
  ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:4001 dualmode --advertise-client-urls http://127.0.0.1:4001
  dualmode config -w json --config-file conf/member.yml

A flag beats an environment variable (DUALMODE_NAME, then ETCD_NAME), which beats the file. Unlike etcd,
a file does not silence the other two. Exit codes: 0 stopped in order, 1 error, 2 fault in the configuration."""

_OF_MODE: Final = {
    Mode.MEMBER: """\
dualmode member: a full etcd v3 server.

Examples:
  dualmode member --data-dir /var/lib/dualmode
  dualmode member --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls http://10.0.0.1:2379
  dualmode certs create && dualmode member --config-file conf/member-tls.yml
  etcdctl put hello world        (etcdctl, curl and every etcd v3 client work unchanged)""",
    Mode.PROXY: """\
dualmode proxy: a gateway in front of members, ours or etcd's.

Examples:
  dualmode proxy                                  from 127.0.0.1:23790 to the member on 127.0.0.1:2379
  dualmode proxy --endpoints https://10.0.0.1:2379 --cacert ca.pem --cert client.pem --key client-key.pem
  dualmode proxy --mode tcp --endpoints 10.0.0.1:2379,10.0.0.2:2379     bytes unread, as `etcd gateway start`
  etcdctl --endpoints 127.0.0.1:23790 get hello""",
}

_CONFIG: Final = """\
dualmode config [member|proxy] [flags] [-w json]: every option, its value, and where that came from.

It reads flags, environment and file as a start would, looks at the data dir, and starts nothing. Faults are told as at
a start, with exit code 2: `dualmode config --config-file FILE > /dev/null` checks a file."""


def help_text(topic: str) -> str:
    """For `member`, `proxy` or `config`; anything else gets the overview."""
    if topic == "config":
        return _CONFIG
    if topic not in tuple(Mode):
        return _OVERVIEW
    mode = Mode(topic)
    parts = [_OF_MODE[mode], "Write --flag=value or --flag value; switches only --flag=false. One dash will do."]
    for group in GROUPS:
        options = [option for option in group.options if mode in option.modes and not option.ignored]
        if options:
            parts.append("\n".join([f"{group.title}:", *(_option(option, topic) for option in options)]))
    parts.append(_ignored(mode))
    return "\n\n".join(parts)


def version_text() -> str:
    """etcd's first line is what scripts look for."""
    return (
        f"etcd Version: {ETCD_VERSION}\n"
        f"dualmode Version: {__version__}\n"
        f"Python Version: {platform.python_version()}\n"
        f"Hot path: {_hot_path()}\n"
        f"OS/Arch: {platform.system().lower()}/{platform.machine()}"
    )


def _hot_path() -> str:
    """Whether this is a wheel with compiled modules: what to know before speeds are compared."""
    spec = find_spec("dualmode.http.native.server")
    return "plain Python" if spec is None or str(spec.origin).endswith(".py") else "compiled"


def _option(option: Option, command: str) -> str:
    default = option.kind.show(option.kind.parse(option.default_for(command)))
    shown = f" (default {default})" if default and not option.kind.is_switch else ""
    if option.kind.is_switch and default == "true":
        shown = " (default true)"
    value = "" if option.kind.is_switch else f" {option.kind.placeholder}"
    since = f" [{option.since}]" if option.since == OURS else ""
    text = textwrap.fill(
        f"{option.help}{shown}{since}",
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
    )
    return f"  --{option.name}{value}\n{text}"


def _ignored(mode: Mode) -> str:
    names = [
        f"--{option.name}" for group in GROUPS for option in group.options if option.ignored and mode in option.modes
    ]
    return textwrap.fill(
        f"Flags of etcd's that are accepted and do nothing here (docs/configuration.md says why): {', '.join(names)}.",
        _WIDTH,
        break_on_hyphens=False,
    )
