"""Does: the life of `dualmode proxy --mode tcp`: find the endpoints, relay, close in order.

Nothing is kept on the disk, and nothing of what passes through is read: TLS, logins and the protocol are between
clients and members.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from dualmode import limits, log
from dualmode.config.settings import ProxySettings
from dualmode.edge.address import places
from dualmode.edge.listener import Listener, bind_all
from dualmode.edge.server import Server, ServerOptions
from dualmode.proxy.loops import refuse_loops
from dualmode.proxy.tcp.endpoints import find_remotes
from dualmode.proxy.tcp.gateway import Gateway
from dualmode.proxy.tcp.pages import pages
from dualmode.proxy.tcp.remotes import Remotes
from dualmode.serving import until_cancelled
from dualmode.urls import Url

_log = log.get("gateway")


async def run(settings: ProxySettings, *, ready: Callable[[], None]) -> None:
    """Runs a gateway until cancelled. `ready` is called once, when connections are taken.

    Raises StartError with nothing half-started; later, what a listener raises.
    """
    own = settings.serving
    found = await find_remotes(settings)
    await refuse_loops([remote.url for remote in found], own.client_urls + own.metrics_urls)
    remotes = Remotes(found, max(settings.retry_delay_seconds, limits.GATEWAY_RETRY_DELAY_SECONDS))
    options = ServerOptions()
    listeners = _bind(own.client_urls, own.reuse_port)
    try:
        metrics_listeners = _bind(own.metrics_urls, own.reuse_port)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    gateway = Gateway(listeners, remotes, settings.dial_timeout_seconds, options.connections)
    server = Server(metrics_listeners, pages(gateway), options)
    await until_cancelled(lambda stopping: _live(gateway, server, listeners, ready, stopping))


async def _live(
    gateway: Gateway, server: Server, listeners: list[Listener], ready: Callable[[], None], stopping: trio.Event
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await nursery.start(gateway.run)
        _log.info(
            "ready to proxy client requests",
            addresses=[listener.address for listener in listeners],
            endpoints=[*map(str, gateway.remotes.active)],
        )
        ready()
        await stopping.wait()
        await gateway.close()
        await server.close(0)


def _bind(urls: tuple[Url, ...], reuse_port: bool) -> list[Listener]:
    return bind_all(places(map(str, urls)), reuse_port=reuse_port)
