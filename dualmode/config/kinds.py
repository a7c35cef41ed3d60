"""Decides: the kinds of values that options have: how each is read from text and written back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dualmode.config.durations import format_duration, parse_duration
from dualmode.config.urls import parse_initial_cluster, parse_urls
from dualmode.urls import Url, parse_endpoint

#: Go's strconv.ParseBool.
_TRUE: Final = ("1", "t", "T", "true", "TRUE", "True")
_FALSE: Final = ("0", "f", "F", "false", "FALSE", "False")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value. `parse` raises ValueError; `parse(show(value))` is the value again."""

    name: str
    #: What stands for the value in help texts.
    placeholder: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    #: A YAML integer means this in text: durations are integers of nanoseconds there.
    from_integer: Callable[[int], str] = str

    @property
    def is_switch(self) -> bool:
        """Given without a value it means true, and a value needs the equals sign, as in Go's flag package."""
        return self.name == "switch"


def _parse_switch(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'invalid boolean value "{text}", it must be true or false')


def _parse_integer(text: str) -> int:
    try:
        return int(text, 0)  # 0x10 and 1_000 are numbers to Go too
    except ValueError:
        raise ValueError(f'"{text}" is not a whole number') from None


def _parse_count(text: str) -> int:
    value = _parse_integer(text)
    if value < 0:
        raise ValueError(f"{value} is negative")
    return value


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_endpoints(text: str) -> tuple[Url, ...]:
    """In the order given: the first one is tried first."""
    return tuple(dict.fromkeys(parse_endpoint(part) for part in _parse_list(text)))


def _parse_listen_urls(text: str) -> tuple[Url, ...]:
    """As URLs, and the bare `host:port` that `--listen-addr` of etcd's proxies takes."""
    return tuple(sorted({parse_endpoint(part) for part in text.split(",")}, key=str)) if text.strip() else ()


def _join(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _show_cluster(members: Mapping[str, tuple[Url, ...]]) -> str:
    return _join(f"{name}={url}" for name, urls in members.items() for url in urls)


def choice(*values: str) -> Kind:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f'"{text}" is not one of {", ".join(values)}')
        return text

    return Kind("choice", "|".join(values), parse)


TEXT: Final = Kind("text", "TEXT", str)
FILE: Final = Kind("file", "FILE", str)
DIRECTORY: Final = Kind("directory", "DIR", str)
SWITCH: Final = Kind("switch", "true|false", _parse_switch, lambda value: "true" if value else "false")
NUMBER: Final = Kind("number", "N", _parse_integer)
COUNT: Final = Kind("count", "N", _parse_count)
MILLISECONDS: Final = Kind("milliseconds", "MS", _parse_count)
SECONDS: Final = Kind("seconds", "S", _parse_count)
DURATION: Final = Kind("duration", "DURATION", parse_duration, format_duration, lambda nanoseconds: f"{nanoseconds}ns")
LIST: Final = Kind("list", "A,B", _parse_list, _join)
URLS: Final = Kind("URLs", "URL,URL", parse_urls, _join)
LISTEN_URLS: Final = Kind("listen URLs", "URL,URL", _parse_listen_urls, _join)
ENDPOINTS: Final = Kind("endpoints", "URL,URL", _parse_endpoints, _join)
CLUSTER: Final = Kind("cluster", "NAME=URL,...", parse_initial_cluster, _show_cluster)
