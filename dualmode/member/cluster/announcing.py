"""Does: tells the cluster, through the log, who this member is and which version the cluster has.

Members of etcd 3.4 understand these only as writes to the v2 store, those of 3.7 only as requests of their own; 3.5 and
3.6 take both. So the old form is used until the cluster's version says that nobody needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from dualmode import log
from dualmode.api import etcdserverpb, membershippb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.replica import Replica
from dualmode.rpc.local import AwaitableReply

_log = log.get("member")
_RETRY_SECONDS: Final = 0.1


class Announcer:
    """What one member has to say about itself and the cluster."""

    def __init__(self, replica: Replica, next_request_id: Callable[[], int]) -> None:
        self._replica = replica
        self._next_request_id = next_request_id

    async def publish(self, name: str, client_urls: Sequence[str]) -> None:
        """Returns when it is applied here. Goes on trying while it does not get through; raises nothing but
        cancellation."""
        replica = self._replica
        await replica.leadership.wait_for_leader()
        headers = replica.applier.headers
        while True:
            try:
                await self._announce_member(name, client_urls)
                break
            except RpcError as error:
                _log.warning(
                    "failed to publish local member to cluster through raft, trying again", error=error.message
                )
                await trio.sleep(_RETRY_SECONDS)
        _log.info(
            "published local member to cluster through raft",
            local_member_id=f"{headers.member_id:x}",
            local_member_attributes=f"{{Name:{name} ClientURLs:[{' '.join(client_urls)}]}}",
            cluster_id=f"{headers.cluster_id:x}",
        )

    async def _announce_member(self, name: str, client_urls: Sequence[str]) -> None:
        member_id = self._replica.applier.headers.member_id
        attributes = membershippb.Attributes(name=name, client_urls=client_urls)
        request = membershippb.ClusterMemberAttrSetRequest(member_ID=member_id, member_attributes=attributes)
        fields: dict[str, Any] = {"name": name}
        if client_urls:
            fields["clientURLs"] = list(client_urls)
        path = f"/0/members/{member_id:x}/attributes"
        await self._announce(requests.CLUSTER_MEMBER_ATTR_SET, request, path, json.dumps(fields, separators=(",", ":")))

    async def announce_version(self, version: str) -> None:
        """Returns when it is applied here. Raises `RpcError` when it did not get through."""
        request = membershippb.ClusterVersionSetRequest(ver=version)
        await self._announce(requests.CLUSTER_VERSION_SET, request, "/0/version", version)
        _log.info("updated cluster version", cluster_version=version)

    async def end_downgrade(self) -> None:
        """All members have the version of the downgrade. Raises as `announce_version`."""
        request = membershippb.DowngradeInfoSetRequest(enabled=False)
        reply = AwaitableReply()
        self._replica.intake.propose(requests.DOWNGRADE_INFO_SET, request.SerializeToString(), request, reply)
        await reply.result()
        _log.info("the downgrade is complete")

    async def _announce(self, kind: int, request: Any, path: str, value: str) -> None:
        reply = AwaitableReply()
        if self._replica.applier.membership.needs_old_form:
            request_id = self._next_request_id()
            data = _old_form(request_id, path, value)
            self._replica.intake.propose_encoded(data, request_id, kind, request, reply)
        else:
            self._replica.intake.propose(kind, request.SerializeToString(), request, reply)
        await reply.result()


def _old_form(request_id: int, path: str, value: str) -> bytes:
    """A write to etcd's v2 store, with all the fields that its encoder writes."""
    request = etcdserverpb.Request(
        ID=request_id,
        Method="PUT",
        Path=path,
        Val=value,
        Dir=False,
        PrevValue="",
        PrevIndex=0,
        Expiration=0,
        Wait=False,
        Since=0,
        Recursive=False,
        Sorted=False,
        Quorum=False,
        Time=0,
        Stream=False,
    )
    return bytes(request.SerializeToString())
