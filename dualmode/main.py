"""Does: the dispatcher: argv becomes a member, a proxy, or a tool.

    main(argv)                     sub-command, then flags > environment > file
      serve                        look at the data dir: member/, proxy/, both (fatal), or new
        member.start.run           or
        proxy.start.run            or
        proxy.tcp.start.run        each under lifecycle.run: ready, stopped, signals, exit code

Modes and tools are imported when they are needed: `--help` and faults of the configuration never load trio.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualmode import datadir
from dualmode.config.load import Loaded, load
from dualmode.config.option import Mode
from dualmode.config.resolve import data_dir
from dualmode.config.settings import MemberSettings, ProxySettings
from dualmode.errors import ConfigError, StartError

EXIT_ORDERLY = 0
EXIT_ERROR = 1
EXIT_CONFIGURATION = 2
EXIT_INTERRUPTED = 130  #: by ^C, outside of a run

#: Runs a mode with its settings to its end and gives the exit code.
Runner = Callable[[MemberSettings | ProxySettings], int]


@dataclass(frozen=True, slots=True)
class Choice:
    """What `serve` has decided: the mode, its settings, and what to say about them."""

    mode: Mode
    settings: MemberSettings | ProxySettings
    notices: list[str]


def console() -> None:
    """The `dualmode` program."""
    try:
        code = main(sys.argv[1:], os.environ)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # `dualmode config | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_ERROR
    sys.exit(code)


def main(argv: Sequence[str], environ: Mapping[str, str], run_mode: Runner | None = None) -> int:
    """Does what the arguments ask for and gives the exit code. `run_mode` is there for tests."""
    command, arguments = split_command(argv)
    try:
        if command in TOOLS:
            return TOOLS[command](arguments, environ)
        return serve(command, arguments, environ, run_mode or _run_mode)
    except ConfigError as error:
        _tell_faults(error.faults)
        return EXIT_CONFIGURATION
    except StartError as error:
        print(f"dualmode: {error}", file=sys.stderr)
        return EXIT_ERROR


def split_command(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The sub-command, empty when the first argument is a flag (or a word we do not know, a fault later)."""
    if argv and (argv[0] in TOOLS or argv[0] in tuple(Mode)):
        return argv[0], list(argv[1:])
    return "", list(argv)


def serve(command: str, arguments: Sequence[str], environ: Mapping[str, str], run_mode: Runner) -> int:
    """Runs a member or a proxy, as asked for or as the data dir says."""
    loaded = load(command, arguments, environ)
    if loaded.asks_for("help"):
        return _help([command], environ)
    if loaded.asks_for("version"):
        return _version([], environ)
    choice = choose(loaded)
    from dualmode import log  # structlog takes longer to import than all of the above

    log.configure(choice.settings.log.level, choice.settings.log.form, choice.settings.log.outputs)
    for notice in choice.notices:
        log.log.warning(notice)
    code = run_mode(choice.settings)
    if code and not _is_on_terminal(choice.settings.log.outputs):
        print(f"dualmode: ended with an error, see {', '.join(choice.settings.log.outputs)}", file=sys.stderr)
    return code


def choose(loaded: Loaded) -> Choice:
    """The mode and its settings: etcd's order, where an existing data dir beats --proxy.

    Raises ConfigError with all faults, StartError for a data dir that cannot be run on.
    """
    directory = data_dir(loaded.values, loaded.command)
    wal_dir = loaded.values["wal-dir"]
    listing = datadir.read_listing(directory, Path(wal_dir) if wal_dir else None)
    wants_proxy = loaded.values["proxy"] != "off"
    notices = [f"found {name} in the data dir, which is not ours" for name in datadir.unexpected(listing)]
    if loaded.command:
        mode = Mode(loaded.command)
        datadir.check_mode(listing, mode)
    else:
        found = datadir.identify(listing)
        mode = found or (Mode.PROXY if wants_proxy else Mode.MEMBER)
        if found is Mode.MEMBER and wants_proxy:
            notices.append(f"{loaded.values.source('proxy')} does nothing: {directory} is the data dir of a member")
    settings = loaded.settings(mode)
    return Choice(mode, settings, loaded.notices_for(mode) + notices)


def _run_mode(settings: MemberSettings | ProxySettings) -> int:
    from dualmode import lifecycle

    if isinstance(settings, MemberSettings):
        from dualmode.member.start import run as run_member

        return lifecycle.run(lambda *, ready: run_member(settings, ready=ready))
    if settings.relays_bytes:
        from dualmode.proxy.tcp.start import run as run_gateway

        return lifecycle.run(lambda *, ready: run_gateway(settings, ready=ready))
    from dualmode.proxy.start import run as run_proxy

    return lifecycle.run(lambda *, ready: run_proxy(settings, ready=ready))


# --- Tools ---------------------------------------------------------------------------------------------------


def _help(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    from dualmode.config.help import help_text

    print(help_text(next(iter(arguments), "")))
    return EXIT_ORDERLY


def _version(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    from dualmode.config.help import version_text

    print(version_text())
    return EXIT_ORDERLY


def _config(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    from dualmode.config.show import WRITE_OUT, show

    command, flags = split_command(arguments)
    loaded = load(command, flags, environ, WRITE_OUT)
    if loaded.asks_for("help"):
        return _help(["config"], environ)
    choice = choose(loaded)
    print(show(loaded, choice.mode))
    for notice in choice.notices:
        print(f"notice: {notice}", file=sys.stderr)
    return EXIT_ORDERLY


def _certs(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    from dualmode.ctl.certs import main as certs_main

    return certs_main(list(arguments))


def _snapshot(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    from dualmode.ctl.snapshot import Tools
    from dualmode.ctl.snapshot import main as snapshot_main
    from dualmode.member.maintenance.snapshot_import import import_data_dir
    from dualmode.member.maintenance.snapshot_restore import RestorePlan, restore_snapshot

    tools = Tools(lambda source, tell, **plan: restore_snapshot(source, RestorePlan(**plan), tell), import_data_dir)
    return snapshot_main(list(arguments), tools)


#: Sub-commands other than the modes.
TOOLS: dict[str, Callable[[Sequence[str], Mapping[str, str]], int]] = {
    "certs": _certs,
    "config": _config,
    "help": _help,
    "snapshot": _snapshot,
    "version": _version,
}


def _tell_faults(faults: Sequence[str]) -> None:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    print(f"dualmode: {count} in the configuration, nothing was started:", file=sys.stderr)
    for fault in faults:
        print(f"  {fault}", file=sys.stderr)
    print("`dualmode help member` and `dualmode help proxy` list all options.", file=sys.stderr)


def _is_on_terminal(outputs: Sequence[str]) -> bool:
    return any(output in ("default", "stderr", "stdout", "systemd/journal") for output in outputs)
