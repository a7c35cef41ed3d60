"""Decides: which HTTP/2 engine a name (`--http2-engine`) stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dualmode.http import h2_engine, native
from dualmode.http.interface import Classifier, HttpClientConnection, HttpServerConnection
from dualmode.http.options import Http2Options


@dataclass(frozen=True, slots=True)
class Engine:
    """What makes the connections of one engine."""

    server: Callable[[Classifier, Http2Options], HttpServerConnection]
    client: Callable[[Http2Options], HttpClientConnection]


#: By name; the first is the default.
ENGINES: Final[dict[str, Engine]] = {
    "native": Engine(native.ServerConnection, native.ClientConnection),
    "h2": Engine(h2_engine.ServerConnection, h2_engine.ClientConnection),
}
