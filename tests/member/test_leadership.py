"""Who leads, as told to whoever depends on it, and the words of requests that did not get through."""

from dataclasses import dataclass
from typing import cast

import pytest
import trio

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.leadership import Leadership
from dualmode.raft import RawNode


@dataclass
class Node:
    """As much of a RawNode as is looked at."""

    id: int = 1
    leader: int = 0
    term: int = 1


def followed() -> tuple[Node, Leadership, list[object]]:
    node = Node()
    leadership = Leadership(cast(RawNode, node))
    heard: list[object] = []
    leadership.on_change.append(heard.append)
    leadership.on_leader.append(heard.append)
    return node, leadership, heard


def test_changes_are_told_once() -> None:
    node, leadership, heard = followed()
    assert not leadership.look(0.0)
    node.leader, node.term = 1, 2
    assert leadership.look(1.0)
    assert heard == [1, True]
    assert not leadership.look(1.0)
    node.term = 3  # re-elected
    assert not leadership.look(2.0)
    node.leader = 0
    assert leadership.look(3.0)
    assert heard == [1, True, False]
    node.leader = 2
    assert leadership.look(4.0)
    assert heard == [1, True, False, 2]
    assert leadership.leader == 2


def test_a_refusal_holds_until_the_next_tick_or_leader() -> None:
    node, leadership, _ = followed()
    assert not leadership.takes_proposals
    node.leader = 2
    leadership.look(0.0)
    assert leadership.takes_proposals
    leadership.refused()
    assert not leadership.takes_proposals
    leadership.tick()
    assert leadership.takes_proposals
    leadership.refused()
    node.leader = 3
    leadership.look(1.0)
    assert leadership.takes_proposals


@pytest.mark.parametrize(
    ("leaders", "is_connected", "told"),
    [
        ([(1.0, 2)], True, errors.TIMEOUT),
        ([(1.0, 2)], False, errors.TIMEOUT_CONNECTION_LOST),
        ([(1.0, 2), (6.0, 0), (7.0, 3)], True, errors.TIMEOUT_LEADER_FAIL),
        ([(1.0, 2), (6.0, 3)], False, errors.TIMEOUT_LEADER_FAIL),
        ([(1.0, 2), (3.0, 0), (4.0, 2)], True, errors.TIMEOUT),  # lost and found before the request came
        ([(1.0, 2), (6.0, 0)], True, errors.TIMEOUT),  # nobody leads: no word for that
        ([], True, errors.TIMEOUT),
        ([], False, errors.TIMEOUT),
    ],
)
def test_a_request_that_began_at_5_is_told_why(
    leaders: list[tuple[float, int]], is_connected: bool, told: RpcError
) -> None:
    node, leadership, _ = followed()
    leadership.is_connected_since = lambda since: is_connected
    for now, leader in leaders:
        node.leader = leader
        leadership.look(now)
    assert leadership.timeout(5.0) == told


async def test_the_first_leader_is_waited_for() -> None:
    node, leadership, _ = followed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leadership.wait_for_leader)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        node.leader = 2
        leadership.look(0.0)
    node.leader = 0
    leadership.look(1.0)
    await leadership.wait_for_leader()  # there was one
