"""Does: reads the three sources of options and puts them in order: flags beat environment beat the file.

etcd leaves everything else out of account once a file is given, which surprises people in both directions. Here each
source says only what it says, and `dualmode config` shows who won.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dualmode import limits
from dualmode.config.check import check
from dualmode.config.environment import read_environment
from dualmode.config.flags import parse_flags
from dualmode.config.given import Given, Reading
from dualmode.config.option import Mode, Option
from dualmode.config.options import BY_NAME
from dualmode.config.resolve import member_settings, proxy_settings
from dualmode.config.settings import MemberSettings, ProxySettings
from dualmode.config.tcp_mode import means_nothing
from dualmode.config.values import Values
from dualmode.errors import ConfigError


@dataclass(slots=True)
class Loaded:
    """All sources read. Faults are kept until `settings`, because some are known only with the mode."""

    command: str
    values: Values
    faults: list[str]
    notices: list[str]
    #: What was given for options of one command only (`config -w json`).
    extra: Values

    def settings(self, mode: Mode) -> MemberSettings | ProxySettings:
        """Everything resolved for one mode. Raises ConfigError with all the faults there are."""
        faults = self.faults + check(self.values, mode)
        if faults:
            raise ConfigError(faults)
        return member_settings(self.values) if mode is Mode.MEMBER else proxy_settings(self.values)

    def asks_for(self, switch: str) -> bool:
        """Whether `--help` or `--version` stands there; a wrong option beside it does not matter then."""
        return bool(self.values[switch])

    def notices_for(self, mode: Mode) -> list[str]:
        """What is accepted and does nothing, one line each."""
        lines = list(self.notices)
        for option in self.values.given_options():
            source = self.values.source(option.name)
            if option.ignored:
                lines.append(f"{source} is accepted and does nothing: {option.ignored}")
            elif mode not in option.modes and source.kind != "environment":
                # An environment may be shared by a member and a proxy; a flag was meant for this process.
                lines.append(f"{source} means nothing to a {mode}")
            elif mode is Mode.PROXY and source.kind != "environment" and means_nothing(option.name, self.values):
                lines.append(f"{source} means nothing with --mode {self.values['mode']}")
        return lines


def load(
    command: str, arguments: Sequence[str], environ: Mapping[str, str], extra: Mapping[str, Option] | None = None
) -> Loaded:
    """`command` is `member`, `proxy` or empty; `extra` are flags that only this call has.

    Raises nothing for faults: see `Loaded.settings`.
    """
    extra = extra or {}
    flags = parse_flags(arguments, {**BY_NAME, **extra})
    environment = read_environment(environ)
    file = _read_file([*environment.given, *flags.given])
    of_table = [one for one in flags.given if one.option.name not in extra]
    of_call = Values(command, [one for one in flags.given if one.option.name in extra], tuple(extra.values()))
    values = Values(command, [*file.given, *environment.given, *of_table])
    return Loaded(
        command,
        values,
        faults=[*flags.faults, *environment.faults, *file.faults, *values.faults, *of_call.faults],
        notices=[*environment.notices, *file.notices],
        extra=of_call,
    )


def _read_file(given: Sequence[Given]) -> Reading:
    paths = [one for one in given if one.option.name == "config-file" and one.text]
    if not paths:
        return Reading()
    path, source = paths[-1].text, paths[-1].source
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(limits.CONFIG_FILE_CHARACTERS + 1)
    except OSError as error:
        return Reading(faults=[f"{source}: cannot read {path}: {error.strerror}"])
    except UnicodeDecodeError:
        return Reading(faults=[f"{source}: {path} is not text in UTF-8"])
    if len(text) > limits.CONFIG_FILE_CHARACTERS:
        return Reading(faults=[f"{source}: {path} is longer than {limits.CONFIG_FILE_CHARACTERS} characters"])
    from dualmode.config.yaml_file import parse_file  # YAML takes a third of the time of --help to import

    return parse_file(text, path)
