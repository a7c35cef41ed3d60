"""Decides: options from environment variables: ETCD_NAME as etcd has them, and DUALMODE_NAME, which beats it."""

from __future__ import annotations

from collections.abc import Mapping

from dualmode.config.given import Given, Reading, Source, hint
from dualmode.config.options import OPTIONS

PREFIXES = ("ETCD_", "DUALMODE_")
#: Read by etcd outside its table of flags; it asks about processors, which is nothing to us.
_KNOWN_ELSEWHERE = frozenset({"ETCD_UNSUPPORTED_ARCH"})


def read_environment(environ: Mapping[str, str]) -> Reading:
    """An empty variable counts as none, as in etcd.

    Unknown variables are noticed, not refused: Kubernetes puts `ETCD_SERVICE_HOST` and the like into every container
    beside a service of that name.
    """
    reading = Reading()
    known = set(_KNOWN_ELSEWHERE)
    for option in OPTIONS:
        known.update(option.variables)
        for variable in reversed(option.variables):
            if text := environ.get(variable):
                reading.given.append(Given(option, text, Source("environment", variable)))
    for variable in sorted(environ):
        if variable.startswith(PREFIXES) and variable not in known:
            prefix, name = variable.partition("_")[0] + "_", variable.partition("_")[2]
            close = hint(name, sorted(other.partition("_")[2] for other in known), prefix)
            reading.notices.append(f"{variable}: unrecognized environment variable{close}")
    return reading
