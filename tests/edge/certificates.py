"""Certificates of the tests: one authority, a server for loopback, a client called alice."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files."""

    authority: trustme.CA
    ca: str
    cert: str
    key: str
    client_cert: str
    client_key: str


def make(directory: Path) -> Certificates:
    """Makes a whole set in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert(*HOSTS, common_name="server")
    client = authority.issue_cert("alice@example.org", common_name="alice")
    paths = {name: str(directory / f"{name}.pem") for name in ("ca", "cert", "key", "client_cert", "client_key")}
    authority.cert_pem.write_to_path(paths["ca"])
    write_pair(server, paths["cert"], paths["key"])
    write_pair(client, paths["client_cert"], paths["client_key"])
    return Certificates(authority, **paths)


def write_pair(leaf: trustme.LeafCert, cert: str, key: str) -> None:
    Path(cert).write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)


def revocation_list(certificates: Certificates, *revoked: str) -> x509.CertificateRevocationList:
    """A list, signed by the authority, of the certificates in these files."""
    key = serialization.load_pem_private_key(certificates.authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(certificates.authority.cert_pem.bytes()).subject
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(day)
    builder = builder.next_update(day + datetime.timedelta(days=1))
    for file in revoked:
        serial = x509.load_pem_x509_certificate(Path(file).read_bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(day).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
