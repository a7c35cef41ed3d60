"""Decides: our own HTTP/2 engine (RFC 9113): sans-I/O connections for both roles, on `hpack` for header compression.

Reading order: frames, states, connection, server.
"""

from dualmode.http.native.client import ClientConnection
from dualmode.http.native.server import ServerConnection
from dualmode.http.options import Http2Options

__all__ = ["ClientConnection", "Http2Options", "ServerConnection"]
