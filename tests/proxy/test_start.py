"""What a proxy refuses to start with."""

from __future__ import annotations

import socket

import pytest

from dualmode.config.load import load
from dualmode.config.option import Mode
from dualmode.config.settings import ProxySettings
from dualmode.errors import StartError
from dualmode.proxy import loops
from dualmode.proxy.loops import refuse_loops
from dualmode.proxy.start import run
from dualmode.urls import parse_url


def settings_of(*flags: str) -> ProxySettings:
    settings = load(Mode.PROXY, list(flags), {}).settings(Mode.PROXY)
    assert isinstance(settings, ProxySettings)
    return settings


@pytest.mark.parametrize(
    ("endpoint", "listener", "is_loop"),
    [
        ("http://127.0.0.1:23790", "http://127.0.0.1:23790", True),
        ("http://localhost:23790", "http://127.0.0.1:23790", True),
        ("https://127.0.0.1:23790", "http://localhost:23790", True),
        ("http://127.0.0.2:23790", "http://0.0.0.0:23790", True),
        ("http://127.0.0.1:23791", "http://127.0.0.1:23790", False),
        ("http://127.0.0.2:23790", "http://127.0.0.1:23790", False),
        ("http://192.0.2.1:23790", "http://0.0.0.0:23790", False),
        ("http://name.invalid:23790", "http://0.0.0.0:23790", False),
        ("unix:///run/a", "unix:///run/a", True),
        ("unixs:///run/a", "unix:///run/a", True),
        ("unix:///run/a", "unix:///run/b", False),
        ("unix://localhost:23790", "http://localhost:23790", False),
    ],
)
async def test_an_endpoint_that_is_the_proxy_itself(
    endpoint: str, listener: str, is_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int, **_: object) -> list[object]:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = ["127.0.0.1", "::1"] if host == "localhost" else [host]
        return [(0, 0, 0, "", (address, port)) for address in found]

    monkeypatch.setattr(loops.trio.socket, "getaddrinfo", resolve)
    urls = [parse_url("http://192.0.2.9:1"), parse_url(endpoint)], [parse_url(listener)]
    if not is_loop:
        await refuse_loops(*urls)
        return
    with pytest.raises(StartError) as raised:
        await refuse_loops(*urls)
    assert str(raised.value) == f"endpoint {endpoint} is where this proxy itself listens ({listener})"


async def test_a_loop_is_refused_before_anything_is_bound() -> None:
    settings = settings_of("--listen-client-urls=http://127.0.0.1:23790", "--endpoints=http://localhost:23790")
    with pytest.raises(StartError, match="endpoint http://localhost:23790 is where this proxy itself listens"):
        await run(settings, ready=lambda: None)
