"""Does: what the operating system knows of this process, as prometheus-client collects it, and etcd's two names."""

from __future__ import annotations

import os
import resource

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest

from dualmode.status.rpc_metrics import Bindings


def process_bindings() -> Bindings:
    """Descriptors under etcd's names."""
    return {
        "os_fd_used": lambda: len(os.listdir("/proc/self/fd")),
        "os_fd_limit": lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


class ProcessPage:
    """process_* and python_*, in the text format. From a registry of its own: the default one is for who embeds us."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def render(self) -> str:
        return generate_latest(self._registry).decode()
