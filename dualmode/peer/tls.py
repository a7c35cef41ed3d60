"""Does: TLS toward peers, from the settings of their listener: a member serves and calls with one certificate."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from pathlib import Path

from dualmode.config.settings import TlsGroup
from dualmode.edge.self_signed import self_signed_pair
from dualmode.edge.tls import ClientTls, ClientTlsSettings
from dualmode.urls import Url


def peer_client_tls(
    group: TlsGroup, fixtures: Path, urls: Iterable[Url], report: Callable[[str], None], server_name: str = ""
) -> tuple[ClientTls, ClientTls]:
    """(for streams, for calls): two, since the library for calls sets on its contexts which protocols it offers. With
    automatic TLS nobody can be verified, and nobody is (as etcd has it). Raises StartError for files that cannot be
    used."""
    cert_file = group.client_cert_file or group.cert_file
    key_file = group.client_key_file or group.key_file
    automatic = group.is_automatic and not group.cert_file
    if automatic and any(url.is_tls for url in urls):
        hosts = [url.host for url in urls if url.is_tls and not url.is_unix]
        now = datetime.datetime.now(datetime.UTC)
        cert_file, key_file = self_signed_pair(fixtures, hosts, now, group.self_signed_validity_years)
    settings = ClientTlsSettings(
        trusted_ca_file=group.trusted_ca_file,
        cert_file=cert_file,
        key_file=key_file,
        server_name=server_name,
        insecure_skip_verify=automatic,
        min_version=group.min_version or "TLS1.2",
        max_version=group.max_version,
        cipher_suites=group.cipher_suites,
        protocols=("http/1.1",),
    )
    return ClientTls(settings, report), ClientTls(settings, report)
