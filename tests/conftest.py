"""Does: settings for every test: what a property holds is never judged by how fast the machine is just then."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

_SPEC = find_spec("dualmode.http.native.server")
#: Whether the hot path is compiled (`make test-compiled`).
IS_COMPILED = _SPEC is not None and str(_SPEC.origin).endswith(".so")

# Hypothesis fails an example after 200 ms and a generation after a second by default, by the wall clock: on a machine
# with more to do than this suite, any property would fail now and then.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compiled modules have constants and each other's functions built in, so nothing can be put in their place: the
    tests that do so hold for the plain modules, and are run there."""
    if IS_COMPILED:
        for item in items:
            if "monkeypatch" in getattr(item, "fixturenames", ()) or item.get_closest_marker("plain"):
                item.add_marker(pytest.mark.skip(reason="patches what is built in where modules are compiled"))
