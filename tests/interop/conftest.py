"""Does: the servers of the interop tests: started when first asked for, shared by a worker's tests, always stopped.

`INTEROP_TARGET` says what is under test (`tested.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import pytest

from tests.interop.ctl import Pair
from tests.interop.failure_logs import pytest_runtest_makereport  # noqa: F401
from tests.interop.servers import (
    DEBIAN_ETCDCTL,
    ETCDCTL,
    Certificates,
    Server,
    make_certificates,
    start_etcd,
    start_proxy,
)
from tests.interop.tested import start_tested

#: Both sides of a pair have the same member name, since etcdctl prints it.
NAME = "one"


Made = TypeVar("Made")


def _once(make: Callable[..., Made]) -> Callable[..., Made]:
    """Like functools.cache, but a failure is remembered too: a server that does not start is not waited for again by
    every test."""

    @cache
    def attempt(*arguments: object, **named: object) -> tuple[Made | None, Exception | None]:
        try:
            return make(*arguments, **named), None
        except Exception as failure:
            return None, failure

    def made_or_raise(*arguments: object, **named: object) -> Made:
        made, failure = attempt(*arguments, **named)
        if failure is not None:
            raise failure
        return cast(Made, made)

    return made_or_raise


class Farm:
    """Starts servers on demand. `stack` stops them when the session ends."""

    def __init__(self, directory: Callable[[str], Path], stack: contextlib.ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.etcd = _once(self._start_etcd)
        self.tested = _once(self._start_tested)
        self.proxy = _once(self._start_proxy)
        self.certificates = _once(self._make_certificates)

    def _make_certificates(self) -> Certificates:
        return make_certificates(self._directory("certificates"))

    def _start_etcd(self, tls: bool = False, purpose: str = "") -> Server:
        """`purpose` tells two etcds apart that must not share a store."""
        directory = self._directory(f"etcd{purpose}{tls}")
        return self._stack.enter_context(start_etcd(directory, self.certificates() if tls else None, name=NAME))

    def _start_tested(self, tls: bool = False) -> Server:
        directory = self._directory(f"tested{tls}")
        return self._stack.enter_context(start_tested(directory, self.certificates() if tls else None, name=NAME))

    def _start_proxy(self) -> Server:
        behind = self.etcd(purpose="behind-proxy")
        return self._stack.enter_context(start_proxy(self._directory("proxy"), behind.url))


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with contextlib.ExitStack() as stack:
        yield Farm(lambda name: tmp_path_factory.mktemp(name), stack)


def _make_pair(farm: Farm, way: str) -> Pair:
    """`way`: how etcdctl reaches the tested server."""
    match way:
        case "plain":
            return Pair(ETCDCTL, farm.etcd(), farm.tested())
        case "tls":
            return Pair(ETCDCTL, farm.etcd(tls=True), farm.tested(tls=True))
        case "proxy":
            return Pair(ETCDCTL, farm.etcd(), farm.proxy())
        case "etcdctl-3.4":
            return Pair(DEBIAN_ETCDCTL, farm.etcd(), farm.tested())
    raise AssertionError(way)


@contextlib.contextmanager
def open_pair(farm: Farm, way: str) -> Iterator[Pair]:
    """etcd and the tested server, closed at the end. Skips the test where this etcdctl is not installed."""
    if way == "etcdctl-3.4" and not DEBIAN_ETCDCTL.exists():
        pytest.skip(f"no {DEBIAN_ETCDCTL}: Debian's etcd-client is not installed")
    pair = _make_pair(farm, way)
    yield pair
    pair.close()


@pytest.fixture(scope="session", params=["plain", "tls", "proxy", "etcdctl-3.4"])
def shared_pair(request: pytest.FixtureRequest, farm: Farm) -> Iterator[Pair]:
    with open_pair(farm, request.param) as pair:
        yield pair


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    """etcd and the tested server, both empty."""
    shared_pair.reset()
    return shared_pair


@pytest.fixture
def tested(farm: Farm) -> Server:
    """The server under test, without TLS."""
    return farm.tested()
