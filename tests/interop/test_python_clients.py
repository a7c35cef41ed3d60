"""The Python clients of etcd's users, as pip brings them, on a running member."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.python_clients import CLIENTS, CannotInstallError, PythonClient, make_environment, try_all

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_everything_a_client_offers(client: PythonClient, tmp_path: Path) -> None:
    try:
        python = make_environment(client, tmp_path / "environment")
    except CannotInstallError as error:
        pytest.skip(f"pip cannot bring {client.name} here: {error}")
    for done in try_all(client, python, tmp_path / "servers"):
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all held" in done.stdout
