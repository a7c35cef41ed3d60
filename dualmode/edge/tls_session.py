"""Decides: one TLS connection, sans-I/O: ciphertext in, plaintext out, and the other way round.

The driver owns the socket: it feeds what it received to `receive` and sends what `take_output` gives, so a reply can
be encrypted and written without awaiting. The handshake runs inside `receive`; until it is done plaintext waits.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

from dualmode.errors import PeerError

#: The most plaintext one TLS record carries (RFC 8446 section 5.1): more per read call buys nothing.
_RECORD_BYTES = 16 * 1024


class TlsSession:
    """One end of a TLS connection over memory buffers, either side. A client begins with `start`, a server waits."""

    __slots__ = ("_incoming", "_outgoing", "_pending", "_tls", "is_closed_by_peer", "is_established")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._pending: list[bytes] = []
        self.is_established = False
        #: The peer has sent close_notify (or its half of the connection has ended).
        self.is_closed_by_peer = False

    def start(self) -> None:
        """Client: queues the first handshake message."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Ciphertext from the peer; gives the plaintext that is complete. b"" says the peer closed its half.

        Raises PeerError when the peer breaks the protocol or is not trusted; what `take_output` then holds is the alert
        that tells it so.
        """
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        if not self.is_established and not self._shake_hands():
            return b""
        return b"".join(self._plaintext())

    def send(self, plaintext: bytes) -> None:
        """Queues plaintext; before the handshake is done it waits for it."""
        if not plaintext:
            return
        if not self.is_established:
            self._pending.append(plaintext)
            return
        try:
            self._tls.write(plaintext)
        except ssl.SSLError as error:
            raise PeerError(f"TLS: {_reason(error)}") from error

    def take_output(self) -> bytes:
        """Ciphertext to send now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> None:
        """Queues close_notify; nothing can be sent after it."""
        if not self.is_established:
            return
        # It complains that the peer's own close_notify is not here yet, for which we do not wait.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    @property
    def alpn(self) -> str | None:
        """The protocol both agreed on ("h2", "http/1.1"), None when the client offered none of ours."""
        return self._tls.selected_alpn_protocol()

    @property
    def common_name(self) -> str | None:
        """Subject CN of the peer's certificate, if it gave one and it was verified."""
        certificate = self._tls.getpeercert()
        if not certificate:
            return None
        subject: Any = certificate["subject"]
        names = [value for part in subject for name, value in part if name == "commonName"]
        return names[-1] if names else None

    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER form, None when it gave none."""
        return self._tls.getpeercert(binary_form=True)

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise PeerError(f"TLS handshake: {_reason(error)}") from error
        self.is_established = True
        pending, self._pending = self._pending, []
        for plaintext in pending:
            self.send(plaintext)
        return True

    def _plaintext(self) -> Iterator[bytes]:
        while not self.is_closed_by_peer:
            try:
                data = self._tls.read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                return
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # Truncation (no close_notify) is no danger here: both HTTP versions mark their own ends.
                data = b""
            except ssl.SSLError as error:
                raise PeerError(f"TLS: {_reason(error)}") from error
            if not data:
                self.is_closed_by_peer = True
                return
            yield data


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason in words, without file and line of its source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()
