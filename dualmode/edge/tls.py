"""Does: TLS settings become ssl contexts, read again when their files change.

Certificates are rotated under a running server (cert-manager, certbot, a cron job), the CA bundle too. So every file
that went into a context is compared with what is on the disk, at a handshake, at most once in TLS_RELOAD_SECONDS. The
contents are compared, not the times: a symlink swapped to a file of the same age and size counts. If the new files do
not load (half written, key of another certificate), the old context stays and the reason is reported once.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from dualmode import limits
from dualmode.edge.ciphers import openssl_ciphers, tls_version
from dualmode.edge.tls_session import TlsSession
from dualmode.errors import PeerError, StartError

ALPN = ["h2", "http/1.1"]


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What a server needs to speak TLS; empty strings are "not given". Names follow etcd's flags."""

    cert_file: str
    key_file: str
    #: CA bundle that client certificates must come from. Giving it requires a client certificate, as in etcd.
    trusted_ca_file: str = ""
    client_cert_auth: bool = False
    crl_file: str = ""
    #: Of the client's certificate; empty allows all.
    allowed_common_names: tuple[str, ...] = ()
    allowed_hostnames: tuple[str, ...] = ()
    min_version: str = "TLS1.2"
    max_version: str = ""
    cipher_suites: tuple[str, ...] = ()

    @property
    def wants_client_certificate(self) -> bool:
        return bool(self.client_cert_auth or self.trusted_ca_file)


@dataclass(frozen=True, slots=True)
class ClientTlsSettings:
    """What a client needs; empty strings are "not given"."""

    trusted_ca_file: str = ""  #: empty: the system's
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""  #: name to verify when it is not the host of the URL
    insecure_skip_verify: bool = False
    #: A certificate of ours may name nobody: what we send for others must not be taken for that user's.
    is_nameless: bool = False
    protocols: tuple[str, ...] = tuple(ALPN)  #: offered (ALPN), the preferred one first
    min_version: str = "TLS1.2"
    max_version: str = ""
    cipher_suites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Loaded:
    context: ssl.SSLContext
    revoked: frozenset[int]


class _Reloading:
    """Keeps what was made from files, and makes it again when their contents change."""

    def __init__(
        self,
        files: Sequence[str],
        load: Callable[[], _Loaded],
        report: Callable[[str], None],
    ) -> None:
        self._files = [file for file in files if file]
        self._load = load
        self._report = report
        self._contents = self._read()
        self._loaded = load()
        self._checked_at = float("-inf")
        self._fault = ""

    def current(self, now: float) -> _Loaded:
        """What to use for a handshake at `now` (monotonic seconds)."""
        if now - self._checked_at >= limits.TLS_RELOAD_SECONDS:
            self._checked_at = now
            self._check()
        return self._loaded

    def _check(self) -> None:
        try:
            contents = self._read()
            if contents == self._contents:
                return
            self._loaded = self._load()
        except StartError as error:
            # The old context stays. Said once, not at every handshake until somebody mends the files.
            if str(error) != self._fault:
                self._fault = str(error)
                self._report(f"TLS files changed but do not load, the old ones stay in use: {error}")
            return
        self._contents, self._fault = contents, ""
        self._report(f"TLS files changed and were loaded: {', '.join(self._files)}")

    def _read(self) -> list[bytes]:
        return [_read(file) for file in self._files]


class ServerTls:
    """Makes a TlsSession for each accepted connection, and judges the client's certificate."""

    def __init__(self, settings: TlsSettings, report: Callable[[str], None]) -> None:
        """Raises StartError naming the file that cannot be used."""
        self.settings = settings
        files = (settings.cert_file, settings.key_file, settings.trusted_ca_file, settings.crl_file)
        self._reloading = _Reloading(files, lambda: _load_server(settings), report)

    def session(self, now: float) -> TlsSession:
        """For one accepted connection."""
        return TlsSession(self._reloading.current(now).context, server_side=True)

    def check_client(self, session: TlsSession, now: float) -> None:
        """After the handshake: revocation list and allowed names. Raises PeerError."""
        settings = self.settings
        revoked = self._reloading.current(now).revoked
        if not (revoked or settings.allowed_common_names or settings.allowed_hostnames):
            return
        der = session.peer_certificate()
        if der is None:
            raise PeerError("TLS: the client gave no certificate")
        certificate = x509.load_der_x509_certificate(der)
        if certificate.serial_number in revoked:
            raise PeerError(f"TLS: the client's certificate {certificate.serial_number:x} is revoked")
        if settings.allowed_common_names and session.common_name not in settings.allowed_common_names:
            raise PeerError(f"TLS: the client's common name {session.common_name!r} is not allowed")
        if settings.allowed_hostnames and not _names_of(certificate).intersection(settings.allowed_hostnames):
            raise PeerError("TLS: the client's certificate has none of the allowed hostnames")


class ClientTls:
    """Makes a TlsSession for each connection of ours to a server."""

    def __init__(self, settings: ClientTlsSettings, report: Callable[[str], None] = lambda text: None) -> None:
        """Raises StartError naming the file that cannot be used."""
        self.settings = settings
        files = (settings.cert_file, settings.key_file, settings.trusted_ca_file)
        self._reloading = _Reloading(files, lambda: _load_client(settings), report)

    def context(self, now: float) -> ssl.SSLContext:
        """For libraries that speak TLS themselves (httpx)."""
        return self._reloading.current(now).context

    def session(self, now: float, host: str) -> TlsSession:
        """For one connection to `host` (an IP address or a name, verified unless told otherwise)."""
        hostname = self.settings.server_name or host
        return TlsSession(self.context(now), server_side=False, server_hostname=hostname)


def _load_server(settings: TlsSettings) -> _Loaded:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _apply_common(context, settings)
    context.set_alpn_protocols(ALPN)
    _load_pair(context, settings.cert_file, settings.key_file)
    if settings.trusted_ca_file:
        _load_authorities(context, settings.trusted_ca_file)
    elif settings.client_cert_auth:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    if settings.wants_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    # HTTP/2 forbids it (RFC 9113 section 9.2.1), and it was a way to burn a server's time.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return _Loaded(context, _load_revoked(settings.crl_file))


def _load_client(settings: ClientTlsSettings) -> _Loaded:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _apply_common(context, settings)
    context.set_alpn_protocols(settings.protocols)
    if settings.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.trusted_ca_file:
        _load_authorities(context, settings.trusted_ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.cert_file or settings.key_file:
        _load_pair(context, settings.cert_file, settings.key_file or settings.cert_file)
        if settings.is_nameless:
            _refuse_common_name(settings.cert_file)
    return _Loaded(context, frozenset())


def _apply_common(context: ssl.SSLContext, settings: TlsSettings | ClientTlsSettings) -> None:
    context.minimum_version = tls_version(settings.min_version) or ssl.TLSVersion.TLSv1_2
    highest = tls_version(settings.max_version)
    if highest is not None:
        if highest < context.minimum_version:
            raise StartError(f"min version {settings.min_version} is above max version {settings.max_version}")
        context.maximum_version = highest
    ciphers = openssl_ciphers(settings.cipher_suites)
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as error:
            raise StartError(
                f"this OpenSSL has none of the cipher suites {', '.join(settings.cipher_suites)}"
            ) from error


def _load_pair(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    for file in (cert_file, key_file):
        _read(file)  # so that the error names the right one of the two

    def refuse() -> str:
        # An encrypted key would make OpenSSL ask at the terminal, and a server would hang there.
        raise StartError(f"{key_file}: the key is encrypted; dualmode takes unencrypted keys, as etcd does")

    try:
        context.load_cert_chain(cert_file, key_file, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StartError(f"{key_file}: the key does not belong to the certificate {cert_file}") from error
        raise StartError(f"{cert_file} with {key_file}: not a PEM certificate and its key") from error


def _load_authorities(context: ssl.SSLContext, file: str) -> None:
    _read(file)
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise StartError(f"{file}: holds no PEM certificate") from error


def _load_revoked(file: str) -> frozenset[int]:
    """Serial numbers on a revocation list, PEM or DER. Like etcd we look at the numbers, not at the list's dates."""
    if not file:
        return frozenset()
    data = _read(file)
    try:
        read = x509.load_pem_x509_crl if b"-----BEGIN" in data else x509.load_der_x509_crl
        return frozenset(entry.serial_number for entry in read(data))
    except ValueError as error:
        raise StartError(f"{file}: not a certificate revocation list") from error


def _refuse_common_name(file: str) -> None:
    """As etcd's gRPC proxy does."""
    subject = x509.load_pem_x509_certificate(_read(file)).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if names and names[0].value:
        raise StartError(
            f"{file}: names {names[0].value!r} (its CN): members would take every client without a token for that "
            "user; use a certificate without a CN (`dualmode certs create` makes one, proxy.pem)"
        )


def _names_of(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise StartError(f"{file or 'certificate file'}: {error.strerror}") from error
