"""Which streams end with the leader."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.leader_streams import LeaderStreams


class FakeStream:
    def __init__(self, has_leader: bool) -> None:
        self.metadata: Any = SimpleNamespace(has_leader=has_leader)
        self.ends: list[RpcError | None] = []

    def end(self, error: RpcError | None = None) -> None:
        self.ends.append(error)


def test_streams_that_ask_for_a_leader_end_with_it_once_while_they_are_served() -> None:
    streams = LeaderStreams()
    asking, easy, over = (FakeStream(has_leader) for has_leader in (True, False, True))
    fakes: Any = (asking, easy, over)
    with streams.holding(fakes[2]):
        pass
    with streams.holding(fakes[0]), streams.holding(fakes[1]):
        streams.leader_lost()
        streams.leader_lost()
    assert asking.ends == [errors.NO_LEADER]
    assert easy.ends == []
    assert over.ends == []


def test_three_election_timeouts_without_a_leader_in_a_row_are_too_many() -> None:
    streams = LeaderStreams()
    fake: Any = FakeStream(has_leader=True)
    with streams.holding(fake):
        for has_leader in (False, False, True, False, False):
            streams.look(has_leader)
        assert fake.ends == []
        streams.look(False)
    assert fake.ends == [errors.NO_LEADER]
    late: Any = FakeStream(has_leader=True)
    with streams.holding(late):
        streams.look(False)
    assert late.ends == [errors.NO_LEADER]
