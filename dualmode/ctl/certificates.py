"""Decides: certificates for development: an authority, and what it signs for servers, members and users.

Not for production: the authority's key lies beside what it signed. ECDSA on P-256 throughout, which every client takes.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ORGANIZATION: Final = "dualmode development"
#: Clocks of neighbours differ.
_BACKDATED: Final = datetime.timedelta(minutes=5)
SERVER: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
CLIENT: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def make_authority(now: datetime.datetime, days: int) -> Pair:
    """A self-signed authority that signs certificates, and nothing below it does."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("dualmode development CA")
    builder = _builder(name, name, key, now, days).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    return Pair(_sign(builder.add_extension(_usage(signs_certificates=True), critical=True), key, key), key)


def load_pair(certificate_pem: bytes, key_pem: bytes) -> Pair:
    """Raises ValueError for what is not a certificate and its key."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("the key does not belong to the certificate")
    return Pair(certificate, key)


def issue(
    authority: Pair,
    common_name: str,
    hosts: Iterable[str],
    purposes: Sequence[x509.ObjectIdentifier],
    now: datetime.datetime,
    days: int,
) -> Pair:
    """A certificate for a server (with its hosts), a user (whose name is the common name), or a client that is nobody
    (without one). Raises ValueError."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(common_name), authority.certificate.subject, key, now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    )
    names = [general_name(host) for host in dict.fromkeys(hosts)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(_sign(builder, key, authority.key), key)


def general_name(host: str) -> x509.GeneralName:
    """An IP address, or else a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def describe(certificate: x509.Certificate, now: datetime.datetime) -> list[tuple[str, str]]:
    """What people look for in a certificate, as labels and texts."""
    rows = [
        ("subject", certificate.subject.rfc4514_string()),
        ("issuer", certificate.issuer.rfc4514_string()),
        ("valid", f"{_day(certificate.not_valid_before_utc)} to {_day(certificate.not_valid_after_utc)}"),
        ("serial", f"{certificate.serial_number:x}"),
        ("SHA-256", certificate.fingerprint(hashes.SHA256()).hex(":")),
    ]
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        rows[2] = ("valid", f"{rows[2][1]} (not now)")
    for extension in certificate.extensions:
        rows += _describe_extension(extension.value)
    return rows


def _describe_extension(value: x509.ExtensionType) -> list[tuple[str, str]]:
    if isinstance(value, x509.SubjectAlternativeName):
        return [("hosts", ", ".join(str(name.value) for name in value))]
    if isinstance(value, x509.ExtendedKeyUsage):
        return [("for", ", ".join(purpose._name for purpose in value))]
    if isinstance(value, x509.BasicConstraints):
        return [("authority", "yes")] if value.ca else []
    return []


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _sign(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, authority_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    if key is not authority_key:
        # Strict verifiers (Python 3.13's default) want the issuer's key named.
        named = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        builder = builder.add_extension(named, critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION)
    if not common_name:
        return x509.Name([organization])
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _day(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d")
