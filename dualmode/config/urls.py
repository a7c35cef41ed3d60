"""Decides: lists of URLs and of members as options hold them, and which URLs can be bound, by etcd's rules."""

from __future__ import annotations

import ipaddress

from dualmode.urls import Url, parse_url


def parse_urls(text: str) -> tuple[Url, ...]:
    """A comma-separated list: sorted, every URL once, as etcd keeps it. Empty text is an empty list."""
    if not text.strip():
        return ()
    return tuple(sorted({parse_url(part) for part in text.split(",")}, key=str))


def parse_initial_cluster(text: str) -> dict[str, tuple[Url, ...]]:
    """`name=url,name=url`, where a name that repeats has several URLs. Raises ValueError."""
    members: dict[str, list[Url]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, url = part.partition("=")
        if not separator or not name or not url:
            raise ValueError(f'invalid member "{part}", expected name=url')
        members.setdefault(name, []).append(parse_url(url))
    return {name: tuple(sorted(set(urls), key=str)) for name, urls in members.items()}


def is_bindable(url: Url) -> bool:
    """Whether etcd would bind to it: a socket path, `localhost`, or an IP address. Names may stand for several
    addresses, and which one would be bound is nothing to guess."""
    if url.is_unix or url.host == "localhost":
        return True
    try:
        ipaddress.ip_address(url.host.partition("%")[0])
    except ValueError:
        return False
    return True
