"""Decides: which settings ask for what the proxy cannot do.

Forwarding as if they had not been given would be worse than not starting.
"""

from __future__ import annotations

from collections.abc import Iterator

from dualmode.config.settings import ProxySettings


def unsupported(settings: ProxySettings) -> Iterator[str]:
    """One line for each."""
    if settings.resolver_prefix or settings.resolver_ttl_seconds:
        yield "--resolver-prefix and --resolver-ttl are not supported: this proxy does not announce itself"
