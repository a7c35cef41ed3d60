"""Does: clients that write and read a few keys, each at whichever member it finds, and note what they are told."""

from __future__ import annotations

import random
from typing import Any

import trio

from dualmode.api import etcdserverpb as pb
from dualmode.errors import RpcError
from tests.sim.history import Ending, History, Operation
from tests.sim.node import Life, LostError
from tests.sim.world import World

KEYS = tuple(b"k%d" % number for number in range(5))
_ALL = (b"k", b"l")
_RESPONSES = {
    pb.PutRequest: ("put", pb.PutResponse),
    pb.DeleteRangeRequest: ("delete_range", pb.DeleteRangeResponse),
    pb.TxnRequest: ("txn", pb.TxnResponse),
    pb.RangeRequest: ("range", pb.RangeResponse),
    pb.CompactionRequest: ("compact", pb.CompactionResponse),
}


async def any_life(world: World, dice: random.Random) -> Life:
    """A member that is up and votes; waits for one."""
    while not (lives := [life for life in world.lives if not life.member.replica.is_learner]):  # noqa: ASYNC110 - the clock is simulated
        await trio.sleep(0.05)
    return dice.choice(lives)


async def ask(history: History, life: Life, request: Any, client: object = None) -> Operation:
    """Sends a KV request, notes its outcome and gives it."""
    name, response_class = _RESPONSES[type(request)]
    operation = history.begin(request)
    try:
        answer = await life.call(getattr(life.member.kv, name), request.SerializeToString(), client=client)
    except LostError:
        history.failed(operation, None)
    except RpcError as error:
        history.failed(operation, error)
    else:
        history.done(operation, response_class.FromString(answer))
    return operation


class Writer:
    """One client, which does one thing after the other."""

    def __init__(self, world: World, history: History, name: str) -> None:
        self._world = world
        self._history = history
        self._dice = world.fork(name)
        self._seen: dict[bytes, Any] = {}
        self._revision = 1

    async def run(self) -> None:
        """Until the accidents are over."""
        world, dice = self._world, self._dice
        while not world.is_over.is_set():
            life = await any_life(world, dice)
            operation = await ask(self._history, life, self._draw(), self)
            if operation.ending is Ending.DONE:
                self._learn(operation.response)
            await trio.sleep(dice.expovariate(1 / 0.1))

    def _learn(self, response: Any) -> None:
        self._revision = max(self._revision, response.header.revision)
        for kv in getattr(response, "kvs", ()):
            self._seen[kv.key] = kv

    def _draw(self) -> Any:
        dice = self._dice
        key = dice.choice(KEYS)
        draws = [self._put, self._put, self._delete, self._compare_and_put, self._put_two, self._read, self._read]
        draws += [self._read_all, self._read_past]
        if self._world.plan.compacts and dice.random() < 0.1:
            return pb.CompactionRequest(revision=max(1, self._revision - dice.randrange(20)))
        return dice.choice(draws)(key)

    def _value(self) -> bytes:
        """Begins with the number of the operation that writes it."""
        return b"%d " % self._history.next_number + b"x" * self._dice.choice((1, 10, 100, 700))

    def _put(self, key: bytes) -> Any:
        return pb.PutRequest(key=key, value=self._value(), prev_kv=self._dice.random() < 0.5)

    def _delete(self, key: bytes) -> Any:
        if self._dice.random() < 0.2:
            return pb.DeleteRangeRequest(key=b"k0", range_end=b"k3", prev_kv=True)
        return pb.DeleteRangeRequest(key=key, prev_kv=self._dice.random() < 0.5)

    def _compare_and_put(self, key: bytes) -> Any:
        """Only if it is as this client has seen it last."""
        seen = self._seen.get(key)
        if seen is not None and self._dice.random() < 0.3:
            compare = pb.Compare(key=key, target=pb.Compare.VALUE, result=pb.Compare.EQUAL, value=seen.value)
        else:
            revision = seen.mod_revision if seen is not None else 0
            compare = pb.Compare(key=key, target=pb.Compare.MOD, result=pb.Compare.EQUAL, mod_revision=revision)
        put = pb.PutRequest(key=key, value=self._value(), prev_kv=True)
        read = pb.RangeRequest(key=key)
        return pb.TxnRequest(
            compare=[compare],
            success=[pb.RequestOp(request_put=put), pb.RequestOp(request_range=read)],
            failure=[pb.RequestOp(request_range=read)],
        )

    def _put_two(self, key: bytes) -> Any:
        """And delete a third: all at one revision."""
        value = self._value()
        first, second, third = self._dice.sample(KEYS, 3)
        return pb.TxnRequest(
            success=[
                pb.RequestOp(request_put=pb.PutRequest(key=first, value=value)),
                pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=third, prev_kv=True)),
                pb.RequestOp(request_put=pb.PutRequest(key=second, value=value)),
            ]
        )

    def _read(self, key: bytes) -> Any:
        return pb.RangeRequest(key=key, serializable=self._dice.random() < 0.2)

    def _read_all(self, key: bytes) -> Any:
        return pb.RangeRequest(key=_ALL[0], range_end=_ALL[1], limit=self._dice.choice((0, 2)))

    def _read_past(self, key: bytes) -> Any:
        revision = max(1, self._revision - self._dice.randrange(30))
        return pb.RangeRequest(key=_ALL[0], range_end=_ALL[1], revision=revision)
