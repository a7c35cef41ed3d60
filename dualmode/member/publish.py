"""Does: tells the cluster, through the log, who this member is and which version the cluster has.

Client listeners open after this: what answers a client is known to the cluster by name and URLs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

import dualmode
from dualmode import log
from dualmode.api import membershippb
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.replica import Replica
from dualmode.rpc.local import AwaitableReply

_log = log.get("member")
_RETRY_SECONDS = 0.1


async def publish(replica: Replica, name: str, client_urls: Sequence[str]) -> None:
    """Returns when both are applied. Goes on trying while there is no leader; raises nothing but cancellation."""
    await replica.leadership.wait_for_leader()
    headers = replica.applier.headers
    attributes = membershippb.Attributes(name=name, client_urls=client_urls)
    await _propose(
        replica,
        requests.CLUSTER_MEMBER_ATTR_SET,
        membershippb.ClusterMemberAttrSetRequest(member_ID=headers.member_id, member_attributes=attributes),
    )
    _log.info(
        "published local member to cluster through raft",
        local_member_id=f"{headers.member_id:x}",
        local_member_attributes=f"{{Name:{name} ClientURLs:[{' '.join(client_urls)}]}}",
        cluster_id=f"{headers.cluster_id:x}",
    )
    membership = replica.applier.membership
    if membership.cluster_version is None:
        version = dualmode.ETCD_CLUSTER_VERSION
        await _propose(replica, requests.CLUSTER_VERSION_SET, membershippb.ClusterVersionSetRequest(ver=version))
        _log.info("set initial cluster version", cluster_version=version)
    _log.info("enabled capabilities for version", cluster_version=membership.cluster_version)


async def _propose(replica: Replica, kind: int, request: Any) -> None:
    while True:
        reply = AwaitableReply()
        try:
            replica.propose(kind, request.SerializeToString(), request, reply)
            await reply.result()
            return
        except RpcError as error:
            _log.warning("failed to publish local member to cluster through raft, trying again", error=error.message)
            await trio.sleep(_RETRY_SECONDS)
