"""The certificate of --auto-tls."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509

from dualmode.edge.self_signed import self_signed_pair
from dualmode.edge.tls import ClientTls, ClientTlsSettings, ServerTls, TlsSettings
from dualmode.errors import StartError
from tests.edge.test_tls import exchange

NOW = datetime.datetime.now(datetime.UTC)


def test_it_is_made_once_and_reused(tmp_path: Path) -> None:
    directory = tmp_path / "fixtures" / "client"
    pair = self_signed_pair(directory, ["127.0.0.1"], NOW)
    contents = [Path(file).read_bytes() for file in pair]
    assert self_signed_pair(directory, ["10.0.0.1"], NOW) == pair
    assert [Path(file).read_bytes() for file in pair] == contents
    assert stat.S_IMODE(Path(pair[1]).stat().st_mode) == 0o600
    Path(pair[0]).unlink()  # half a pair is no pair
    self_signed_pair(directory, ["127.0.0.1"], NOW)
    assert Path(pair[0]).read_bytes() != contents[0]


def test_a_client_that_trusts_it_may_use_the_listen_hosts(tmp_path: Path) -> None:
    cert, key = self_signed_pair(tmp_path, ["127.0.0.1", "localhost", "127.0.0.1"], NOW, validity_years=3)
    for host in ("127.0.0.1", "localhost"):
        client = ClientTls(ClientTlsSettings(cert)).session(0.0, host)
        server = ServerTls(TlsSettings(cert, key), print).session(0.0)
        client.start()
        exchange(client, server)
        assert client.is_established
    lifetime = x509.load_pem_x509_certificate(Path(cert).read_bytes()).not_valid_after_utc - NOW
    assert lifetime.days in (3 * 365 - 1, 3 * 365)


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="at least one year"):
        self_signed_pair(tmp_path, ["localhost"], NOW, validity_years=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot keep the self-signed certificate"):
        self_signed_pair(tmp_path / "file" / "client", ["localhost"], NOW)
