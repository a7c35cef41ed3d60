"""Decides: what the member keeps in the store beside keys and leases: rows named as in etcd's small buckets."""

from __future__ import annotations

from typing import Protocol


class BucketRows(Protocol):
    """Rows of the store (`storage.mvcc.Store`) by bucket and key; written inside a pass, so with the applied index."""

    def bucket_put(self, bucket: bytes, key: bytes, value: bytes) -> None: ...

    def bucket_delete(self, bucket: bytes, key: bytes) -> None: ...

    def bucket_get(self, bucket: bytes, key: bytes) -> bytes | None: ...

    def bucket_rows(self, bucket: bytes) -> list[tuple[bytes, bytes]]: ...
