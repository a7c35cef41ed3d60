"""Does: the opening of one accepted connection: what the peer speaks, and the TLS handshake where it wants one.

The first bytes tell (`edge/sniff.py`), within TLS what both ends agreed on (ALPN) or else the first bytes again. Who
speaks what is not served here is told so in its own language where it has one.
"""

from __future__ import annotations

from collections.abc import Callable

from dualmode import log
from dualmode.edge.sniff import Speech, sniff
from dualmode.edge.tls import ServerTls
from dualmode.edge.wire import Wire
from dualmode.http.routing import PeerIdentity

_log = log.get("edge")

#: Go's answer to a plain request on a TLS port, understood by people with curl.
_PLAIN_ON_TLS = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
#: A fatal handshake_failure alert (RFC 8446 section 6): a TLS client on a plain port hears more than a closed socket.
_TLS_ON_PLAIN = b"\x15\x03\x01\x00\x02\x02\x28"
_ALPN = {"h2": Speech.HTTP2, "http/1.1": Speech.HTTP1}


class Opening:
    """Driven once by the connection's task; how long it may take is the connection's to watch."""

    __slots__ = ("_allows_plain", "_allows_tls", "_now", "_tls", "_wire", "peer", "speech")

    def __init__(
        self,
        wire: Wire,
        address: str,
        tls: ServerTls | None,
        now: Callable[[], float],
        allows_plain: bool,
        allows_tls: bool,
    ) -> None:
        self._wire = wire
        self._tls = tls
        self._now = now
        self._allows_plain = allows_plain
        self._allows_tls = allows_tls
        #: Who it is, complete when `run` has ended.
        self.peer = PeerIdentity(address, is_tls=False)
        #: What it speaks: HTTP1 or HTTP2 when `run` gave bytes.
        self.speech = Speech.UNDECIDED

    async def run(self) -> bytes | None:
        """Gives the bytes that came so far, decrypted; None when the peer has gone or does not speak what is served
        here. Raises what `Wire.receive` does."""
        opening = b""
        wire = self._wire
        while True:
            data = await wire.receive()
            if data is None:
                return None
            opening += data
            speech = self._agreed_speech() or sniff(opening)
            if speech is Speech.TLS and wire.tls is None and self._allows_tls:
                opening = self._start_tls(opening)
                speech = self._agreed_speech() or sniff(opening)
            if speech is Speech.UNDECIDED or (wire.tls is not None and not wire.tls.is_established):
                continue
            self.speech = speech
            if self._is_served(speech):
                return opening
            wire.finish()
            return None

    def _start_tls(self, opening: bytes) -> bytes:
        assert self._tls is not None
        self._wire.start_tls(self._tls.session(self._now()))
        return self._wire.decrypt(opening) or b""

    def _agreed_speech(self) -> Speech | None:
        """What the two ends agreed on in the handshake; None when it must be sniffed."""
        session = self._wire.tls
        if session is None or not session.is_established:
            return None
        if not self.peer.is_tls:
            assert self._tls is not None
            self._tls.check_client(session, self._now())
            self.peer = PeerIdentity(self.peer.address, True, session.common_name)
        return _ALPN.get(session.alpn or "")

    def _is_served(self, speech: Speech) -> bool:
        """Whether it is; if not, the peer is told."""
        is_http = speech in (Speech.HTTP1, Speech.HTTP2)
        if is_http and (self._allows_plain or self._wire.tls is not None):
            return True
        if is_http:
            _log.debug("plain HTTP on a TLS port", peer=self.peer.address)
            self._wire.send(_PLAIN_ON_TLS if speech is Speech.HTTP1 else b"")
        else:
            _log.debug("neither HTTP nor TLS that is served here", peer=self.peer.address, speech=speech.value)
            self._wire.send(_TLS_ON_PLAIN if speech is Speech.TLS else b"")
        return False
