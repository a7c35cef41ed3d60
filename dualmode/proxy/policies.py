"""Decides: which of several connected endpoints a call goes to (`--endpoint-policy`).

    stay             all to the one in use, until it is lost (the default)
    round-robin      each call to the next one
    least-in-flight  to the one with the fewest open calls
    leader-first     what may write to the leader, which would get it from the others anyway; the rest as with `stay`

All but the first let one client's serializable reads jump between members that are not equally far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dualmode.proxy.read_only import HARMLESS, is_harmless_post


class Candidate(Protocol):
    """A connection to an endpoint (`UpstreamConnection`, as far as it is needed)."""

    @property
    def open_streams(self) -> int: ...


class Choice:
    """What a policy remembers between two calls."""

    def __init__(self) -> None:
        self.turn = 0


#: Gives the index of the one to take. `leader`: the index of the leader's, None if it is not among them. The first
#: candidate is the endpoint in use. Called with one candidate at least.
Policy = Callable[[Choice, bytes, Sequence[Candidate], int | None], int]


def _stay(choice: Choice, path: bytes, candidates: Sequence[Candidate], leader: int | None) -> int:
    return 0


def _round_robin(choice: Choice, path: bytes, candidates: Sequence[Candidate], leader: int | None) -> int:
    choice.turn += 1
    return choice.turn % len(candidates)


def _least_in_flight(choice: Choice, path: bytes, candidates: Sequence[Candidate], leader: int | None) -> int:
    """Of those that have equally few, each in turn."""
    choice.turn += 1
    count = len(candidates)
    turns = [(choice.turn + number) % count for number in range(count)]
    return min(turns, key=lambda index: candidates[index].open_streams)


def _leader_first(choice: Choice, path: bytes, candidates: Sequence[Candidate], leader: int | None) -> int:
    return leader if leader is not None and may_write(path) else 0


POLICIES: dict[str, Policy] = {
    "stay": _stay,
    "round-robin": _round_robin,
    "least-in-flight": _least_in_flight,
    "leader-first": _leader_first,
}


def may_write(path: bytes) -> bool:
    """Whether a gRPC call, or a request to the gateway, is not known to read only."""
    path = path.partition(b"?")[0]
    return path not in HARMLESS and not is_harmless_post(path)
