"""Fixtures of the edge tests."""

import pytest

from tests.edge import certificates
from tests.edge.certificates import Certificates


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One set for all tests that do not change it."""
    return certificates.make(tmp_path_factory.mktemp("certs"))
