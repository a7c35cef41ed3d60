"""Decides: what an option is: the row of the one table in `options.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dualmode.config.kinds import Kind


class Mode(StrEnum):
    """What the program is on a machine; also the name of its directory in the data dir."""

    MEMBER = "member"
    PROXY = "proxy"


MEMBER: Final = (Mode.MEMBER,)
PROXY: Final = (Mode.PROXY,)
BOTH: Final = (Mode.MEMBER, Mode.PROXY)

#: The release column of options that etcd does not have.
OURS: Final = "dualmode"

#: The nested groups of etcd's YAML file.
CLIENT_TLS: Final = "client-transport-security"
PEER_TLS: Final = "peer-transport-security"
SOCKET: Final = "socket-options"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: a flag, two environment variables and a key of the file, all from here."""

    name: str
    kind: Kind
    #: In the text form of its kind.
    default: str
    help: str
    modes: tuple[Mode, ...] = MEMBER
    #: The etcd release that brought it, empty for those of 3.4 and before.
    since: str = ""
    #: Other spellings, such as the experimental- one it had before.
    also: tuple[str, ...] = ()
    #: Where etcd's YAML file has it, when that is not at the top under its own name: group and key.
    place: tuple[str, str] | None = None
    #: Why it does nothing here. Accepted, so that a command line of etcd's still starts us.
    ignored: str = ""
    #: The default of `dualmode proxy`, where it differs.
    proxy_default: str | None = None
    is_secret: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.also)

    @property
    def variables(self) -> tuple[str, ...]:
        """Environment variables, the strongest first."""
        upper = [name.upper().replace("-", "_").replace(".", "_") for name in self.names]
        return tuple(prefix + name for prefix in ("DUALMODE_", "ETCD_") for name in upper)

    def default_for(self, command: str) -> str:
        """The default under a sub-command. Without one we are etcd, also as a proxy."""
        if command == Mode.PROXY and self.proxy_default is not None:
            return self.proxy_default
        return self.default


@dataclass(frozen=True, slots=True)
class Group:
    """Options that belong together in help and documentation."""

    title: str
    options: tuple[Option, ...]
    text: str = ""
