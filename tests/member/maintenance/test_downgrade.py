"""Downgrades: what may be asked for, and that it is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.maintenance.downgrade import Downgrade, check_target, parse_version, short_version
from dualmode.storage.backend import Backend
from dualmode.storage.mvcc.store import Store


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("3.5", (3, 5)),
        ("3.5.0", (3, 5)),
        ("3.5.7", (3, 5)),
        ("3.5.0-alpha.1", (3, 5)),
        ("3.5.0+git", (3, 5)),
        ("10.20.30", (10, 20)),
    ],
)
def test_versions_are_read(text: str, target: tuple[int, int]) -> None:
    assert parse_version(text) == target


@pytest.mark.parametrize("text", ["", "3", "3.", "v3.5", "3.5.x", "3.5.0.1", "-3.5", "3.5-alpha", "3.5\n"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(RpcError) as caught:
        parse_version(text)
    assert caught.value == errors.WRONG_DOWNGRADE_VERSION_FORMAT


@pytest.mark.parametrize(
    ("target", "cluster_version", "is_enabled", "error"),
    [
        ((3, 5), None, False, errors.CLUSTER_VERSION_UNAVAILABLE),
        ((3, 6), "3.6.0", False, errors.INVALID_DOWNGRADE_TARGET),
        ((3, 4), "3.6.0", False, errors.INVALID_DOWNGRADE_TARGET),
        ((2, 5), "3.6.0", False, errors.INVALID_DOWNGRADE_TARGET),
        ((3, 5), "3.6.0", True, errors.DOWNGRADE_IN_PROCESS),
    ],
)
def test_targets_that_are_refused(
    target: tuple[int, int], cluster_version: str | None, is_enabled: bool, error: RpcError
) -> None:
    with pytest.raises(RpcError) as caught:
        check_target(target, cluster_version, is_enabled)
    assert caught.value == error


def test_one_minor_version_down_is_allowed() -> None:
    check_target((3, 5), "3.6.0", is_enabled=False)


def test_short_version() -> None:
    assert short_version("3.6.0") == "3.6"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    backend = Backend.open(tmp_path / "store")
    yield Store(backend)
    backend.close()


def test_it_survives_a_restart_and_its_end_too(store: Store) -> None:
    downgrade = Downgrade(store)
    assert not downgrade.is_enabled
    store.begin_pass()
    downgrade.set(True, "3.5.0")
    store.end_pass(1, 1)
    again = Downgrade(store)
    assert (again.is_enabled, again.target_version) == (True, "3.5.0")
    assert store.bucket_get(b"cluster", b"downgrade") == b'{"target-version":"3.5.0","enabled":true}'
    store.begin_pass()
    again.set(False, "")
    store.end_pass(2, 1)
    assert not Downgrade(store).is_enabled
