"""Does: asks the endpoints in use now and then whether they still serve, and leaves one that does not.

A member that is frozen, or cut off, keeps its connection: nothing shows that it is gone until somebody asks. One that
answers but has no leader is left as well, for another one that may have; when there is none it serves as well as any.
"""

from __future__ import annotations

from typing import Final

import trio

from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.client.calls import UnaryCall
from dualmode.client.connection import UpstreamConnection
from dualmode.client.status import CallError
from dualmode.errors import Code
from dualmode.proxy.member_finder import request_head
from dualmode.proxy.upstreams import Upstreams

_log = log.get("proxy")
_STATUS: Final = b"/etcdserverpb.Maintenance/Status"
_NO_LEADER: Final = "no leader"
#: What ends a call without anybody having answered it.
_SILENCE: Final = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL)


class HealthWatch:
    """Of one proxy; `run` is its task."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        #: Of the last look.
        self.is_healthy = False

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await trio.sleep(limits.PROXY_HEALTH_SECONDS)
            async with trio.open_nursery() as nursery:
                for connection in self._upstreams.connections():
                    if connection.can_open_stream:
                        nursery.start_soon(self._look, connection)

    async def _look(self, connection: UpstreamConnection) -> None:
        fault, is_leader = await self._ask(connection)
        if self._upstreams.spread is not None:
            self._upstreams.spread.judge(connection, fault, is_leader)
            if fault not in ("", _NO_LEADER) and connection is not self._upstreams.ready:
                connection.cut()
        if connection is self._upstreams.ready:
            self._judge_the_one_in_use(connection, fault)

    def _judge_the_one_in_use(self, connection: UpstreamConnection, fault: str) -> None:
        self.is_healthy = not fault
        if fault == _NO_LEADER and len(self._upstreams.order()) < 2:
            return
        if fault:
            _log.warning("leaving an endpoint", endpoint=str(connection.target), reason=fault)
            if fault == _NO_LEADER:
                connection.close()
            else:
                connection.cut()

    async def _ask(self, connection: UpstreamConnection) -> tuple[str, bool]:
        """What is wrong with it ("" when it serves), and whether it leads. An answer that refuses us is an answer."""
        call = UnaryCall(connection)
        try:
            with trio.fail_after(limits.PROXY_LOOK_SECONDS):
                call.start(request_head(connection.target, self._upstreams.scheme, _STATUS), b"")
                status = etcdserverpb.StatusResponse.FromString(await call.result())
        except trio.TooSlowError:
            call.cancel()
            return f"no answer within {limits.PROXY_LOOK_SECONDS:g} s", False
        except CallError as error:
            return (str(error) if error.code in _SILENCE else ""), False
        except ValueError:
            return "its answer cannot be read", False
        return ("" if status.leader else _NO_LEADER), status.leader == status.header.member_id
