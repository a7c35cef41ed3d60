"""Decides: the `h2` package behind the interface of `native`, for both roles: the second opinion (`--http2-engine h2`).

It exists so that every test can run on two independent implementations; it is thirty times slower than `native`.
Known differences, all of them h2's own:

* most malformed messages end the connection, where RFC 9113 asks for the stream only (it allows the connection);
* after the peer's GOAWAY nothing more can be sent, so the streams are lost;
* one fault makes it drop the events of the same read that came before it.
"""

from dualmode.http.h2_engine.client import ClientConnection
from dualmode.http.h2_engine.server import ServerConnection

__all__ = ["ClientConnection", "ServerConnection"]
