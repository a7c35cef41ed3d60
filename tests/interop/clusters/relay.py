"""Does: a TCP relay in front of each member's peer port, which can stop forwarding what one member sends or is sent.

Whose a connection is, its first request says (X-Server-From), so a member can be cut off in both directions. Bytes of a
cut connection are neither forwarded nor refused: for both ends the other one has gone silent, as behind a broken
switch.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import threading
from dataclasses import dataclass, field

_FROM = re.compile(rb"\r\nx-server-from: ?([0-9a-f]+)\r\n", re.IGNORECASE)
_PIECE = 65536


@dataclass
class _Way:
    """One direction of one connection."""

    source: socket.socket
    target: socket.socket
    link: _Link


@dataclass
class _Link:
    """One connection through a relay."""

    name: str  #: of the member whose port this is
    sender: int = 0  #: id of who connected, once it has said so
    head: bytes = b""
    sockets: list[socket.socket] = field(default_factory=list)


class Relays:
    """All relays of a cluster, in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ports: dict[str, int] = {}
        self._cut: tuple[str, int] | None = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="relays", daemon=True)
        self._lock = threading.Lock()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_stopped = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def open(self, name: str, to_port: int) -> int:
        """A relay to a member's port; gives its own."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self._ports[name] = to_port
        with self._lock:
            self._selector.register(listener, selectors.EVENT_READ, name)
        port: int = listener.getsockname()[1]
        return port

    def isolate(self, name: str, member_id: int) -> None:
        """Nothing reaches this member's port, and nothing that it sends reaches anybody."""
        self._cut = (name, member_id)

    def heal(self) -> None:
        """Everything flows again. Connections of the time of the cut are closed: what they lost stays lost."""
        self._cut = None
        with self._lock:
            for key in list(self._selector.get_map().values()):
                if isinstance(key.data, _Way) and key.data.link.head == b"lost":
                    self._close(key.data.link)

    def _is_cut(self, link: _Link) -> bool:
        return self._cut is not None and (link.name == self._cut[0] or link.sender == self._cut[1])

    def _run(self) -> None:
        while not self._is_stopped:
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    if isinstance(key.data, _Way):
                        self._forward(key.data)
                    else:
                        self._accept(key.fileobj, key.data)  # type: ignore[arg-type]

    def _accept(self, listener: socket.socket, name: str) -> None:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._ports[name]), timeout=1)
        except OSError:
            near.close()
            return
        link = _Link(name, sockets=[near, far])
        for source, target in ((near, far), (far, near)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source.settimeout(5)
            self._selector.register(source, selectors.EVENT_READ, _Way(source, target, link))

    def _forward(self, way: _Way) -> None:
        link = way.link
        try:
            data = way.source.recv(_PIECE)
            if not link.sender and way.source is link.sockets[0]:
                link.head = (link.head + data)[:_PIECE]
                found = _FROM.search(link.head)
                if found is not None:
                    link.sender = int(found[1], 16)
            if not data:
                self._close(link)
            elif self._is_cut(link):
                link.head = b"lost"
            else:
                way.target.sendall(data)
        except OSError:
            self._close(link)

    def _close(self, link: _Link) -> None:
        for one in link.sockets:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()
