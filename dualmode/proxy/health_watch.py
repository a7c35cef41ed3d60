"""Does: asks the endpoint in use now and then whether it still serves, and leaves one that does not.

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
            connection = self._upstreams.ready
            if connection is not None and connection.can_open_stream:
                await self._look(connection)

    async def _look(self, connection: UpstreamConnection) -> None:
        fault = await self._fault_of(connection)
        self.is_healthy = not fault
        if fault == "no leader" and len(self._upstreams.order()) < 2:
            return
        if fault and connection is self._upstreams.ready:
            _log.warning("leaving an endpoint", endpoint=str(connection.target), reason=fault)
            if fault == "no leader":
                connection.close()
            else:
                connection.cut()

    async def _fault_of(self, connection: UpstreamConnection) -> str:
        """ "" when it serves. An answer that refuses us is an answer."""
        call = UnaryCall(connection)
        try:
            with trio.fail_after(limits.PROXY_LOOK_SECONDS):
                call.start(request_head(connection.target, self._upstreams.scheme, _STATUS), b"")
                status = etcdserverpb.StatusResponse.FromString(await call.result())
        except trio.TooSlowError:
            call.cancel()
            return f"no answer within {limits.PROXY_LOOK_SECONDS:g} s"
        except CallError as error:
            return str(error) if error.code in _SILENCE else ""
        except ValueError:
            return "its answer cannot be read"
        return "" if status.leader else "no leader"
