"""Decides: which settings ask for what the proxy cannot do.

Forwarding as if they had not been given would be worse than not starting: keys would land outside their namespace.
"""

from __future__ import annotations

from collections.abc import Iterator

from dualmode.config.settings import ProxySettings


def unsupported(settings: ProxySettings) -> Iterator[str]:
    """One line for each."""
    if settings.namespace:
        yield "--namespace is not supported: this proxy forwards keys as they are"
