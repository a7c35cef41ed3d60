"""Decides: whose data differs, from the hashes that members give of everything up to one revision.

Hashes tell something only when they are of the same revision and of the same compaction. Who is right, the majority of
all voters says; where there is none, it is only known that somebody is wrong (etcd 3.6 `CompactHashCheck`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from dualmode.peer.interface import KvHash

#: In place of a member's id: the data differs, and nobody knows whose is wrong.
SOMEBODY: Final = 0


def differing(own_id: int, own: KvHash, others: Mapping[int, KvHash], members: int) -> list[int]:
    """The ids of those whose data is wrong, of a cluster of so many members; `[SOMEBODY]` when that cannot be told."""
    hashes = {own_id: own.hash} | {
        one: answer.hash for one, answer in others.items() if answer.compact_revision == own.compact_revision
    }
    counts = Counter(hashes.values())
    if len(counts) < 2:
        return []
    (most, count), *_ = counts.most_common(1)
    if count < members // 2 + 1:
        return [SOMEBODY]
    return sorted(one for one, found in hashes.items() if found != most)


def ahead(others: Mapping[int, KvHash], revision: int, compact_revision: int) -> list[int]:
    """The ids of those who have a revision, or a compaction, that the leader has not come to: it has confirmed that it
    leads after they answered, so they cannot have it from the log."""
    return sorted(
        one
        for one, answer in others.items()
        if answer.revision > revision or answer.compact_revision > compact_revision
    )
