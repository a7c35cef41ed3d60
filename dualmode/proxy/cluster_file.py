"""Does: what a proxy remembers of its cluster across restarts: `<data-dir>/proxy/cluster`.

JSON as etcd's own proxy wrote it, `{"PeerURLs": [...]}`, with the client URLs beside. It is used when nobody else says
where the members are, and replaced as a whole, so that a crash leaves the old or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dualmode.errors import StartError, StorageError
from dualmode.urls import Url, parse_url


@dataclass(frozen=True, slots=True)
class KnownCluster:
    """Where the members were served when they were last heard of."""

    peer_urls: tuple[Url, ...] = ()
    client_urls: tuple[Url, ...] = ()


class ClusterFile:
    """One file. Reading and writing block for a moment: a proxy does it at its start and when members change."""

    def __init__(self, proxy_dir: Path) -> None:
        self._path = proxy_dir / "cluster"
        self._written: KnownCluster | None = None

    def read(self) -> KnownCluster:
        """What is known; nothing when there is no file. Raises StartError for one that is damaged."""
        try:
            fields = json.loads(self._path.read_bytes())
            known = KnownCluster(_urls(fields.get("PeerURLs")), _urls(fields.get("ClientURLs")))
        except FileNotFoundError:
            return KnownCluster()
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise StartError(f"{self._path} does not tell where the members are: {error}; remove it") from None
        self._written = known
        return known

    def write(self, known: KnownCluster) -> None:
        """Remembers, if it is new. Raises StorageError."""
        if known == self._written:
            return
        making = self._path.with_name("cluster.bak")
        fields = {"PeerURLs": [*map(str, known.peer_urls)], "ClientURLs": [*map(str, known.client_urls)]}
        try:
            descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(json.dumps(fields))
                file.flush()
                os.fsync(file.fileno())
            making.replace(self._path)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error
        self._written = known


def _urls(texts: Sequence[str] | None) -> tuple[Url, ...]:
    return tuple(parse_url(text) for text in texts or ())
