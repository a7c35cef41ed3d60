"""The applier on a real store, as the tests of apply have it."""

from tests.member.apply.conftest import bench  # noqa: F401
