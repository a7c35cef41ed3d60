"""Does: clients that watch, at one member after the other, some of them slowly."""

from __future__ import annotations

from itertools import count

import trio

from dualmode.api import etcdserverpb as pb
from tests.sim.streams import ClientStream
from tests.sim.trace import Violation
from tests.sim.watch_check import WatchCheck
from tests.sim.world import World
from tests.sim.writers import KEYS, any_life

_INTERVALS = ((b"k", b"l"), (KEYS[0], b""), (KEYS[1], KEYS[3]), (b"l/", b"l0"))
_FIRST_REVISION = 2
_ALL = -1


class WatchClient:
    """One client with two watches on one stream."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._dice = world.fork(name)
        filters = self._dice.choice(((), (), (pb.WatchCreateRequest.NODELETE,), (pb.WatchCreateRequest.NOPUT,)))
        self.checks = [
            WatchCheck(world.ledger, *self._dice.choice(_INTERVALS), _FIRST_REVISION, one) for one in ((), filters)
        ]
        self._stream: ClientStream | None = None
        #: By watch id: asked for, and (afterwards also) created.
        self._asked: dict[int, WatchCheck] = {}
        self._active: dict[int, WatchCheck] = {}
        self._ids = count(1)

    async def run(self) -> None:
        """Until cancelled: connects anew whenever the connection is lost, and of its own accord now and then."""
        while True:
            life = await any_life(self._world, self._dice)
            stream = self._stream = ClientStream(life, self._take)
            self._asked, self._active = {}, {}
            for check in self.checks:
                self._watch(stream, check)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.serve, life.member.watch.watch)
                nursery.start_soon(self._behave, stream)
                await stream.gone.wait()
                nursery.cancel_scope.cancel()
            await trio.sleep(0.01)

    async def _behave(self, stream: ClientStream) -> None:
        dice = self._dice
        while True:
            await trio.sleep(dice.expovariate(1 / 2.0))
            mood = dice.random()
            if mood < 0.2:
                stream.stall()
                await trio.sleep(dice.choice((0.5, 3.0)))
                stream.read_on()
            elif mood < 0.5:
                stream.request(pb.WatchRequest(progress_request={}))
            elif mood < 0.6:
                stream.go()

    def _watch(self, stream: ClientStream, check: WatchCheck) -> None:
        watch_id = next(self._ids)
        self._asked[watch_id] = check
        stream.request(check.request(watch_id))

    def _take(self, message: bytes) -> None:
        response = pb.WatchResponse.FromString(message)
        watch_id, stream = response.watch_id, self._stream
        if watch_id == _ALL:
            # Says of all watches of the stream that they have heard everything.
            for check in self._active.values():
                check.take(response)
            return
        check = self._asked[watch_id]
        check.take(response)
        if response.created:
            self._active[watch_id] = check
        elif response.canceled:
            del self._active[watch_id]
            if stream is not None:
                self._watch(stream, check)

    async def finish(self) -> None:
        """Returns when everything has been heard; `run` goes on meanwhile. Raises Violation when that never is."""
        due = self._world.ledger.revision
        with trio.move_on_after(30):
            while any(check.next_revision <= due for check in self.checks):
                if self._stream is not None:
                    self._stream.request(pb.WatchRequest(progress_request={}))
                await trio.sleep(0.2)
            return
        raise Violation(f"{' and '.join(map(str, self.checks))} do not get to revision {due}")
