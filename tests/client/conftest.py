"""Fixtures of the client tests: one real etcd for all of them."""

from collections.abc import Iterator

import pytest

from tests.interop.servers import Certificates, Server, make_certificates, start_etcd


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("client-certs"))


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="session")
def tls_etcd(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Server]:
    with start_etcd(tmp_path_factory.mktemp("tls-etcd"), certificates) as server:
        yield server
