"""TLS in memory: both ends are ours, no socket is involved."""

import dataclasses
import os
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from dualmode.edge.ciphers import OPENSSL_NAMES, openssl_ciphers, tls_version
from dualmode.edge.tls import ClientTls, ClientTlsSettings, ServerTls, TlsSettings
from dualmode.edge.tls_session import TlsSession
from dualmode.errors import PeerError, StartError
from tests.edge import certificates
from tests.edge.certificates import Certificates


def server_settings(certs: Certificates, **more: object) -> TlsSettings:
    return dataclasses.replace(TlsSettings(certs.cert, certs.key), **more)  # type: ignore[arg-type]


def client_settings(certs: Certificates, **more: object) -> ClientTlsSettings:
    return dataclasses.replace(ClientTlsSettings(certs.ca), **more)  # type: ignore[arg-type]


def ends(
    certs: Certificates, server: TlsSettings | None = None, client: ClientTlsSettings | None = None
) -> tuple[TlsSession, TlsSession]:
    """A client and a server session, nothing exchanged yet."""
    server_tls = ServerTls(server or server_settings(certs), print)
    client_tls = ClientTls(client or client_settings(certs))
    return client_tls.session(0.0, "127.0.0.1"), server_tls.session(0.0)


def exchange(client: TlsSession, server: TlsSession, piece: int = 1 << 20) -> tuple[bytes, bytes]:
    """Carries bytes both ways, `piece` at a time, until both are silent; gives what each received."""
    got = {id(client): b"", id(server): b""}
    while True:
        carried = False
        for sender, receiver in ((client, server), (server, client)):
            data = sender.take_output()
            for at in range(0, len(data), piece):
                carried = True
                got[id(receiver)] += receiver.receive(data[at : at + piece])
        if not carried:
            return got[id(client)], got[id(server)]


@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
def test_bytes_cross_in_every_cutting(certs: Certificates, piece: int) -> None:
    client, server = ends(certs)
    client.start()
    client.send(b"early")  # waits for the handshake
    exchange_early = exchange(client, server, piece)
    assert exchange_early == (b"", b"early")
    assert client.is_established
    assert server.is_established
    client.send(b"question" * 1000)
    server.send(b"answer" * 10_000)
    server.send(b"")
    assert exchange(client, server, piece) == (b"answer" * 10_000, b"question" * 1000)


def test_h2_is_chosen_and_a_client_without_alpn_gets_none(certs: Certificates) -> None:
    client, server = ends(certs)
    client.start()
    exchange(client, server)
    assert (client.alpn, server.alpn) == ("h2", "h2")

    for offered, chosen in (([], None), (["http/1.1"], "http/1.1"), (["spdy/1"], None)):
        context = ssl.create_default_context(cafile=certs.ca)
        if offered:
            context.set_alpn_protocols(offered)
        client = TlsSession(context, server_side=False, server_hostname="localhost")
        _, server = ends(certs)
        client.start()
        exchange(client, server)
        assert server.alpn == chosen


def test_close_notify_is_heard_and_truncation_is_an_end_too(certs: Certificates) -> None:
    client, server = ends(certs)
    server.close()  # before the handshake there is nothing to say
    assert server.take_output() == b""
    client.start()
    exchange(client, server)
    client.send(b"last")
    client.close()
    assert exchange(client, server) == (b"", b"last")
    assert server.is_closed_by_peer

    client, server = ends(certs)
    client.start()
    exchange(client, server)
    assert server.receive(b"") == b""
    assert server.is_closed_by_peer


def test_noise_is_the_peers_fault_and_an_alert_says_so(certs: Certificates) -> None:
    _, server = ends(certs)
    with pytest.raises(PeerError, match="TLS handshake"):
        server.receive(b"\x16\x03\x01\x00\x05hello")
    assert server.take_output()[:1] == b"\x15"

    client, server = ends(certs)
    client.start()
    exchange(client, server)
    with pytest.raises(PeerError, match="TLS: "):
        server.receive(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(PeerError, match="TLS handshake"):
        ends(certs)[1].receive(b"")


def test_an_untrusted_server_is_refused(certs: Certificates, tmp_path: Path) -> None:
    other = certificates.make(tmp_path)
    client, server = ends(certs, client=client_settings(other))
    client.start()
    with pytest.raises(PeerError, match="certificate verify failed"):
        exchange(client, server)
    client, server = ends(certs, client=ClientTlsSettings(other.ca, insecure_skip_verify=True))
    client.start()
    exchange(client, server)
    assert client.is_established
    assert client.common_name is None  # nothing was verified


def test_a_wrong_name_is_refused(certs: Certificates) -> None:
    client, server = ends(certs, client=client_settings(certs, server_name="elsewhere.example.org"))
    client.start()
    with pytest.raises(PeerError, match="certificate verify failed"):
        exchange(client, server)


def test_a_verified_client_certificate_gives_its_common_name(certs: Certificates) -> None:
    with_certificate = client_settings(certs, cert_file=certs.client_cert, key_file=certs.client_key)
    client, server = ends(certs, server_settings(certs, trusted_ca_file=certs.ca), with_certificate)
    client.start()
    exchange(client, server)
    assert server.common_name == "alice"
    assert client.common_name == "server"
    # Nobody asked for it: then nobody verified it.
    client, server = ends(certs, client=with_certificate)
    client.start()
    exchange(client, server)
    assert server.common_name is None


def test_a_required_client_certificate_is_required(certs: Certificates, tmp_path: Path) -> None:
    demanding = server_settings(certs, trusted_ca_file=certs.ca, client_cert_auth=True)
    client, server = ends(certs, demanding)
    client.start()
    with pytest.raises(PeerError, match="peer did not return a certificate"):
        exchange(client, server)
    other = certificates.make(tmp_path)
    client, server = ends(
        certs, demanding, client_settings(certs, cert_file=other.client_cert, key_file=other.client_key)
    )
    client.start()
    with pytest.raises(PeerError, match="certificate verify failed"):
        exchange(client, server)


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_a_revoked_client_is_refused(certs: Certificates, tmp_path: Path, encoding: serialization.Encoding) -> None:
    crl = tmp_path / "crl"
    crl.write_bytes(certificates.revocation_list(certs, certs.client_cert).public_bytes(encoding))
    server_tls = ServerTls(server_settings(certs, trusted_ca_file=certs.ca, crl_file=str(crl)), print)
    client = ClientTls(client_settings(certs, cert_file=certs.client_cert, key_file=certs.client_key)).session(
        0.0, "localhost"
    )
    server = server_tls.session(0.0)
    client.start()
    exchange(client, server)
    with pytest.raises(PeerError, match="revoked"):
        server_tls.check_client(server, 0.0)
    crl.write_bytes(certificates.revocation_list(certs, certs.cert).public_bytes(encoding))
    server_tls.check_client(server, 5.0)


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"allowed_common_names": ("alice",)}, None),
        ({"allowed_common_names": ("bob", "carol")}, "'alice' is not allowed"),
        ({"allowed_hostnames": ("db.example.org",)}, "allowed hostnames"),
    ],
)
def test_allowed_names_are_checked(certs: Certificates, more: dict[str, object], fault: str | None) -> None:
    server_tls = ServerTls(server_settings(certs, trusted_ca_file=certs.ca, **more), print)
    client = ClientTls(client_settings(certs, cert_file=certs.client_cert, key_file=certs.client_key)).session(
        0.0, "localhost"
    )
    server = server_tls.session(0.0)
    client.start()
    exchange(client, server)
    if fault is None:
        server_tls.check_client(server, 0.0)
    else:
        with pytest.raises(PeerError, match=fault):
            server_tls.check_client(server, 0.0)


def test_allowed_names_need_a_certificate(certs: Certificates) -> None:
    server_tls = ServerTls(server_settings(certs, allowed_common_names=("alice",)), print)
    client, server = ClientTls(client_settings(certs)).session(0.0, "localhost"), server_tls.session(0.0)
    client.start()
    exchange(client, server)
    with pytest.raises(PeerError, match="no certificate"):
        server_tls.check_client(server, 0.0)


@pytest.mark.parametrize(
    ("server", "client", "works"),
    [
        ({"min_version": "TLS1.3"}, {"max_version": "TLS1.2"}, False),
        ({"max_version": "TLS1.2"}, {"min_version": "TLS1.3"}, False),
        ({"max_version": "TLS1.2"}, {}, True),
        ({"cipher_suites": ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",)}, {"max_version": "TLS1.2"}, True),
        (
            {"cipher_suites": ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",)},
            {"max_version": "TLS1.2", "cipher_suites": ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",)},
            False,
        ),
    ],
)
def test_versions_and_ciphers_bind(
    certs: Certificates, server: dict[str, object], client: dict[str, object], works: bool
) -> None:
    client_end, server_end = ends(certs, server_settings(certs, **server), client_settings(certs, **client))
    client_end.start()
    if works:
        exchange(client_end, server_end)
        assert server_end.is_established
    else:
        with pytest.raises(PeerError, match="TLS handshake"):
            exchange(client_end, server_end)


def test_every_cipher_name_is_known_to_openssl() -> None:
    for name in OPENSSL_NAMES:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(openssl_ciphers([name]))
    assert openssl_ciphers(["TLS_AES_128_GCM_SHA256"]) == ""
    with pytest.raises(StartError, match='unexpected TLS cipher suite "RC4"'):
        openssl_ciphers(["RC4"])
    with pytest.raises(StartError, match=r"unexpected TLS version 'TLS1\.1'"):
        tls_version("TLS1.1")


def test_files_that_cannot_be_used_are_named(certs: Certificates, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    missing = str(tmp_path / "missing.pem")
    cases: list[tuple[TlsSettings, str]] = [
        (TlsSettings(missing, certs.key), f"{missing}: No such file"),
        (TlsSettings(certs.cert, missing), f"{missing}: No such file"),
        (TlsSettings(certs.cert, str(tmp_path)), f"{tmp_path}: Is a directory"),
        (TlsSettings(str(junk), certs.key), f"{junk} with .*: not a PEM"),
        (TlsSettings(certs.cert, certs.client_key), f"{certs.client_key}: the key does not belong to"),
        (server_settings(certs, trusted_ca_file=missing), f"{missing}: No such file"),
        (server_settings(certs, trusted_ca_file=str(junk)), f"{junk}: holds no PEM certificate"),
        (server_settings(certs, crl_file=str(junk)), f"{junk}: not a certificate revocation list"),
        (server_settings(certs, min_version="TLS1.3", max_version="TLS1.2"), r"TLS1\.3 is above .*TLS1\.2"),
    ]
    for settings, text in cases:
        with pytest.raises(StartError, match=text):
            ServerTls(settings, print)


def test_an_encrypted_key_does_not_ask_at_the_terminal(certs: Certificates, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(Path(certs.key).read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(StartError, match="the key is encrypted"):
        ServerTls(TlsSettings(certs.cert, str(locked)), print)


def served_certificate(server_tls: ServerTls, certs: Certificates, now: float) -> bytes | None:
    client = ClientTls(ClientTlsSettings(certs.ca, insecure_skip_verify=True)).session(now, "localhost")
    server = server_tls.session(now)
    client.start()
    exchange(client, server)
    return client.peer_certificate()


def test_changed_files_are_used_at_the_next_handshake(tmp_path: Path) -> None:
    certs = certificates.make(tmp_path)
    told: list[str] = []
    server_tls = ServerTls(server_settings(certs), told.append)
    first = served_certificate(server_tls, certs, 0.0)
    before = os.stat(certs.cert)
    certificates.write_pair(certs.authority.issue_cert("localhost", common_name="server"), certs.cert, certs.key)
    os.utime(certs.cert, ns=(before.st_atime_ns, before.st_mtime_ns))  # age says nothing, contents do
    assert served_certificate(server_tls, certs, 0.5) == first  # looked at less than a second ago
    second = served_certificate(server_tls, certs, 1.0)
    assert second != first
    assert [text for text in told if "were loaded" in text] == told
    assert len(told) == 1


def test_files_that_do_not_load_leave_the_old_ones_in_use(tmp_path: Path) -> None:
    certs = certificates.make(tmp_path)
    told: list[str] = []
    server_tls = ServerTls(server_settings(certs), told.append)
    first = served_certificate(server_tls, certs, 0.0)
    leaf = certs.authority.issue_cert("localhost")
    key = Path(certs.key).read_bytes()
    certificates.write_pair(leaf, certs.cert, certs.key)
    new_key = Path(certs.key).read_bytes()
    Path(certs.key).write_bytes(key)  # half way through a rotation
    assert served_certificate(server_tls, certs, 1.0) == first
    assert served_certificate(server_tls, certs, 2.0) == first
    assert len(told) == 1
    assert "the key does not belong" in told[0]
    os.unlink(certs.key)
    assert served_certificate(server_tls, certs, 3.0) == first
    assert served_certificate(server_tls, certs, 4.0) == first
    assert len(told) == 2
    Path(certs.key).write_bytes(new_key)
    assert served_certificate(server_tls, certs, 5.0) != first
    assert "were loaded" in told[2]


def test_the_authority_can_be_rotated_too(tmp_path: Path) -> None:
    certs = certificates.make(tmp_path / "a")
    server_tls = ServerTls(server_settings(certs, trusted_ca_file=certs.ca), print)
    newer = trustme.CA()
    leaf = newer.issue_cert("bob@example.org", common_name="bob")
    cert, key = str(tmp_path / "bob.pem"), str(tmp_path / "bob-key.pem")
    certificates.write_pair(leaf, cert, key)
    bob = ClientTls(client_settings(certs, cert_file=cert, key_file=key))
    client, server = bob.session(0.0, "localhost"), server_tls.session(0.0)
    client.start()
    with pytest.raises(PeerError):
        exchange(client, server)
    with Path(certs.ca).open("ab") as bundle:
        bundle.write(newer.cert_pem.bytes())
    client, server = bob.session(2.0, "localhost"), server_tls.session(2.0)
    client.start()
    exchange(client, server)
    assert server.common_name == "bob"
