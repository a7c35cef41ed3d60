"""Does: a WebSocket client over a plain socket, its frames by wsproto: not our code judges us."""

from __future__ import annotations

import json
import socket
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

TIMEOUT_SECONDS = 10.0


class WebSocketClient:
    """One WebSocket. `answer` is what the handshake was answered with."""

    def __init__(self, target: str, path: str, *headers: tuple[str, str], subprotocols: tuple[str, ...] = ()) -> None:
        host, _, port = target.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS)
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._text = ""
        extra = [(name.encode(), value.encode()) for name, value in headers]
        self.send(Request(host=target, target=path, extra_headers=extra, subprotocols=list(subprotocols)))
        self.answer = self.next_event()

    @property
    def is_open(self) -> bool:
        return isinstance(self.answer, AcceptConnection)

    @property
    def status(self) -> int:
        """Of a handshake that was refused."""
        assert isinstance(self.answer, RejectConnection), self.answer
        return self.answer.status_code

    def send(self, event: Event) -> None:
        self._socket.sendall(self._connection.send(event))

    def ask(self, message: Any) -> None:
        self.send(TextMessage(data=json.dumps(message)))

    def ping(self) -> None:
        self.send(Ping(payload=b"are you there"))

    def next_event(self) -> Event | None:
        """The next one; None when the server has ended the connection."""
        while not self._events:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._connection.receive_data(data)
            self._events.extend(self._connection.events())
        return self._events.pop(0)

    def next_text(self) -> str | None:
        """The next whole message; None at the end, by a goodbye or without."""
        text = ""
        while True:
            event = self.next_event()
            if event is None or isinstance(event, CloseConnection):
                return None
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    return text

    def next_json(self) -> Any:
        text = self.next_text()
        assert text is not None, "the server has closed"
        return json.loads(text)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> WebSocketClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
