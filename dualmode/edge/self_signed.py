"""Does: the certificate of `--auto-tls`: made once, kept in the data dir, reused while both files are there.

Like etcd's: a self-signed ECDSA certificate for the listen hosts in `<data-dir>/fixtures/client`. P-256 rather than
etcd's P-521: every client takes it, and a handshake costs a fifth.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dualmode.errors import StartError

_YEAR = datetime.timedelta(days=365)


def self_signed_pair(
    directory: Path, hosts: Iterable[str], now: datetime.datetime, validity_years: int = 1
) -> tuple[str, str]:
    """Paths of `cert.pem` and `key.pem` in the directory, made there unless both exist. Raises StartError."""
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    if cert_file.exists() and key_file.exists():
        return str(cert_file), str(key_file)
    if validity_years < 1:
        raise StartError(f"self-signed-cert-validity is {validity_years}, it must be at least one year")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, hosts, now, validity_years)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_bytes = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(key_file, key_bytes, 0o600)
        _write(cert_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise StartError(
            f"{error.filename or directory}: cannot keep the self-signed certificate: {error.strerror}"
        ) from error
    return str(cert_file), str(key_file)


def _certificate(
    key: ec.EllipticCurvePrivateKey, hosts: Iterable[str], now: datetime.datetime, validity_years: int
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks of neighbours differ
        .not_valid_after(now + validity_years * _YEAR)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(file: Path, data: bytes, mode: int) -> None:
    """Whole or not at all: a crash must not leave half a key that is then "reused"."""
    temporary = file.with_suffix(".tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, file)
