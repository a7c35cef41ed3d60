"""Does: asks other members what they answer on plain pages of their peer listener."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import httpx
import trio
from google.protobuf.message import DecodeError

from dualmode import errors, limits
from dualmode.api import etcdserverpb, leasepb
from dualmode.edge.tls import ClientTls
from dualmode.errors import PeerError
from dualmode.peer.identity_headers import CLUSTER, parse_id
from dualmode.peer.interface import KvHash
from dualmode.peer.member import Member

_PROTOBUF: Final = {"Content-Type": "application/protobuf"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """The whole of it, read within bounds."""

    url: str
    status_code: int
    cluster_id: str
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


class PeerClient:
    """Calls to peers. Each raises `PeerError` when a peer does not answer as it should, `RpcError` for what it says."""

    def __init__(self, tls: ClientTls | None, timeout_seconds: float = limits.PEER_CALL_SECONDS) -> None:
        self._tls = tls
        self._timeout_seconds = timeout_seconds

    async def members(self, url: str) -> tuple[int, list[Member]]:
        """(cluster id, members) as the peer at `url` knows them."""
        answer = await self._call("GET", f"{url}/members")
        cluster_id = parse_id(answer.cluster_id.encode())
        if answer.status_code != 200 or cluster_id is None:
            raise PeerError(f"{url}/members: {_told(answer)}")
        return cluster_id, _members(answer)

    async def version(self, url: str) -> dict[str, str]:
        """What /version says: etcdserver, etcdcluster, storage."""
        answer = await self._call("GET", f"{url}/version")
        fields = _json(answer) if answer.status_code == 200 else None
        if not isinstance(fields, dict):
            raise PeerError(f"{url}/version: {_told(answer)}")
        return {str(name): str(value) for name, value in fields.items()}

    async def is_downgrade_enabled(self, url: str) -> bool:
        """Whether the peer knows of a downgrade under way."""
        answer = await self._call("GET", f"{url}/downgrade/enabled")
        return answer.status_code == 200 and answer.text.strip() == "true"

    async def keep_alive(self, url: str, lease_id: int) -> int:
        """Renews a lease at the leader; gives its TTL. Raises LEASE_NOT_FOUND, NOT_LEADER, TIMEOUT_WAIT_APPLIED."""
        request = etcdserverpb.LeaseKeepAliveRequest(ID=lease_id)
        answer = await self._lease_call(f"{url}/leases", request.SerializeToString())
        return int(_read(etcdserverpb.LeaseKeepAliveResponse, answer).TTL)

    async def time_to_live(self, url: str, lease_id: int, with_keys: bool) -> Any:
        """A LeaseTimeToLiveResponse of the leader's. Raises as `keep_alive`."""
        inner = etcdserverpb.LeaseTimeToLiveRequest(ID=lease_id, keys=with_keys)
        request = leasepb.LeaseInternalRequest(LeaseTimeToLiveRequest=inner)
        answer = await self._lease_call(f"{url}/leases/internal", request.SerializeToString())
        return _read(leasepb.LeaseInternalResponse, answer).LeaseTimeToLiveResponse

    async def _lease_call(self, url: str, body: bytes) -> _Answer:
        answer = await self._call("POST", url, body, _PROTOBUF)
        if answer.status_code == 200:
            return answer
        if answer.status_code == 404:
            raise errors.LEASE_NOT_FOUND
        if answer.status_code == 408:
            raise errors.TIMEOUT_WAIT_APPLIED
        if answer.status_code == 400:
            raise errors.NOT_LEADER
        raise PeerError(f"{url}: {_told(answer)}")

    async def hash_kv(self, url: str, revision: int, cluster_id: int) -> KvHash:
        """The peer's hash up to a revision. Raises COMPACTED, FUTURE_REVISION, CLUSTER_ID_MISMATCH."""
        body = json.dumps({"revision": revision}).encode()
        headers = {"X-Etcd-Cluster-ID": f"{cluster_id:x}", "Content-Type": "application/json"}
        answer = await self._call("GET", f"{url}/members/hashkv", body, headers)
        text = answer.text
        for refusal in (errors.COMPACTED, errors.FUTURE_REVISION, errors.CLUSTER_ID_MISMATCH):
            if answer.status_code != 200 and refusal.message.removeprefix("etcdserver: ") in text:
                raise refusal
        fields = _json(answer) if answer.status_code == 200 else None
        try:
            return KvHash(
                int(fields["header"].get("revision", 0)),  # type: ignore[index]
                int(fields.get("hash", 0)),  # type: ignore[union-attr]
                int(fields.get("compact_revision", 0)),  # type: ignore[union-attr]
                int(fields.get("hash_revision", 0)),  # type: ignore[union-attr]
            )
        except (TypeError, KeyError, AttributeError, ValueError):
            raise PeerError(f"{url}/members/hashkv: {_told(answer)}") from None

    async def promote(self, url: str, member_id: int) -> list[Member]:
        """Has the leader make a voter of a learner. Raises MEMBER_NOT_FOUND, MEMBER_NOT_LEARNER, LEARNER_NOT_READY."""
        answer = await self._call("POST", f"{url}/members/promote/{member_id}")
        if answer.status_code == 200:
            return _members(answer)
        if answer.status_code == 404:
            raise errors.MEMBER_NOT_FOUND
        if answer.status_code == 412:
            raise errors.LEARNER_NOT_READY if "in sync" in answer.text else errors.MEMBER_NOT_LEARNER
        raise PeerError(f"{url}/members/promote: {_told(answer)}")

    async def _call(self, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> _Answer:
        context = self._tls.context(trio.current_time()) if self._tls is not None else False
        try:
            with trio.fail_after(self._timeout_seconds):
                async with (
                    httpx.AsyncClient(verify=context, timeout=None, trust_env=False) as client,  # noqa: S113 - the scope is the timeout
                    client.stream(method, url, content=body or None, headers=headers) as response,
                ):
                    return await _answer(url, response)
        except trio.TooSlowError:
            raise PeerError(f"{url}: no answer within {self._timeout_seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise PeerError(f"{url}: {str(error) or type(error).__name__}") from None


async def _answer(url: str, response: httpx.Response) -> _Answer:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > limits.PEER_ANSWER_BYTES:
            raise PeerError(f"{url}: an answer of more than {limits.PEER_ANSWER_BYTES} bytes")
    return _Answer(url, response.status_code, response.headers.get(CLUSTER.decode(), ""), bytes(content))


def _read(kind: Any, answer: _Answer) -> Any:
    try:
        return kind.FromString(answer.content)
    except DecodeError:
        raise PeerError(f"{answer.url}: not a {kind.DESCRIPTOR.name}") from None


def _members(answer: _Answer) -> list[Member]:
    try:
        return [Member.from_json(fields) for fields in _json(answer) or []]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PeerError(f"{answer.url}: not a list of members") from None


def _json(answer: _Answer) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        raise PeerError(f"{answer.url}: not JSON") from None


def _told(answer: _Answer) -> str:
    return f"{answer.status_code} {answer.text.strip()[:200]}"
