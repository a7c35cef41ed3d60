"""Does: settings for every test: what a property holds is never judged by how fast the machine is just then."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Hypothesis fails an example after 200 ms and a generation after a second by default, by the wall clock: on a machine
# with more to do than this suite, any property would fail now and then.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
