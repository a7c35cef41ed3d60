"""Certificates for development: what is in them, and that strict verifiers take them."""

from __future__ import annotations

import contextlib
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.verification import PolicyBuilder, Store

from dualmode.ctl.certificates import CLIENT, SERVER, Pair, describe, general_name, issue, load_pair, make_authority

NOW = datetime.datetime(2026, 11, 24, 6, 0, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority() -> Pair:
    return make_authority(NOW, 365)


@pytest.fixture(scope="module")
def server(authority: Pair) -> Pair:
    return issue(authority, "server", ["localhost", "127.0.0.1", "::1", "localhost"], SERVER, NOW, 30)


def _policy(authority: Pair) -> PolicyBuilder:
    return PolicyBuilder().store(Store([authority.certificate])).time(NOW)


def test_a_server_is_verified_by_its_hosts(authority: Pair, server: Pair) -> None:
    for host in ("localhost", "127.0.0.1", "::1"):
        verifier = _policy(authority).build_server_verifier(general_name(host))
        assert verifier.verify(server.certificate, []) == [server.certificate, authority.certificate]


def test_a_client_is_verified_by_its_authority(authority: Pair) -> None:
    certificate = issue(authority, "alice", ["alice.example"], CLIENT, NOW, 30).certificate
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert [name.value for name in names] == ["alice"]
    assert _policy(authority).build_client_verifier().verify(certificate, []).chain[0] == certificate


def test_a_client_without_hosts_has_no_empty_list_of_them(authority: Pair) -> None:
    certificate = issue(authority, "root", [], CLIENT, NOW, 30).certificate
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    certificate.verify_directly_issued_by(authority.certificate)


def test_openssl_shakes_hands_with_them_strictly(authority: Pair, server: Pair, tmp_path: Path) -> None:
    client = issue(authority, "alice", [], CLIENT, NOW, 3650)
    pairs = {"ca": authority, "server": server, "client": client}
    for name, pair in pairs.items():
        (tmp_path / name).write_bytes(pair.certificate_pem + pair.key_pem)
    contexts = {"client": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "server": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}
    for name, context in contexts.items():
        context.load_verify_locations(tmp_path / "ca")
        context.load_cert_chain(tmp_path / name)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT | 0x200000  # X509_V_FLAG_NO_CHECK_TIME: NOW is not now
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        contexts["client"].wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        contexts["server"].wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    found = ends[1].getpeercert()
    assert found is not None
    assert (("commonName", "alice"),) in found["subject"]


def test_life(server: Pair) -> None:
    assert server.certificate.not_valid_before_utc == NOW - datetime.timedelta(minutes=5)
    assert server.certificate.not_valid_after_utc == NOW + datetime.timedelta(days=30)


def test_names_that_x509_cannot_hold(authority: Pair) -> None:
    with pytest.raises(ValueError, match=r"."):
        issue(authority, "a" * 65, [], CLIENT, NOW, 1)
    with pytest.raises(ValueError, match=r"."):
        issue(authority, "a", ["b\u00fccher.example"], SERVER, NOW, 1)


def test_a_pair_read_again(server: Pair) -> None:
    again = load_pair(server.certificate_pem, server.key_pem)
    assert again.certificate == server.certificate
    assert again.key.private_numbers() == server.key.private_numbers()


def test_pairs_that_are_none(authority: Pair, server: Pair) -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for key_pem in (authority.key_pem, other):
        with pytest.raises(ValueError, match="the key does not belong to the certificate"):
            load_pair(server.certificate_pem, key_pem)
    with pytest.raises(ValueError, match=r"."):
        load_pair(b"nonsense", server.key_pem)


def test_description(authority: Pair, server: Pair) -> None:
    rows = dict(describe(server.certificate, NOW))
    assert rows["subject"] == "CN=server,O=dualmode development"
    assert rows["issuer"] == "CN=dualmode development CA,O=dualmode development"
    assert rows["valid"] == "2026-11-24 to 2026-12-24"
    assert rows["hosts"] == "localhost, 127.0.0.1, ::1"
    assert rows["for"] == "serverAuth, clientAuth"
    assert "authority" not in rows
    assert dict(describe(authority.certificate, NOW))["authority"] == "yes"


@pytest.mark.parametrize("days", [-1, 31])
def test_description_out_of_its_time(days: int, server: Pair) -> None:
    rows = dict(describe(server.certificate, NOW + datetime.timedelta(days=days)))
    assert rows["valid"].endswith("(not now)")
