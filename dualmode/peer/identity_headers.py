"""Decides: how members say who they are in HTTP headers, and who may speak to us (etcd rafthttp `checkVersion`,
`checkClusterCompatibilityFromHeader`)."""

from __future__ import annotations

from typing import Final

from dualmode.http.interface import Pairs, RequestHead
from dualmode.peer.interface import PeerIdentity

CLUSTER: Final = b"x-etcd-cluster-id"
VERSION: Final = b"x-server-version"
_FROM: Final = b"x-server-from"
_MINIMUM: Final = b"x-min-cluster-version"
_URLS: Final = b"x-peerurls"
_TO: Final = b"x-raft-to"

INCOMPATIBLE_VERSION: Final = "incompatible version"
CLUSTER_MISMATCH: Final = "cluster ID mismatch"
_HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
#: Who says nothing of its version is of a time before these headers.
_UNSAID: Final = (2, 0)


def request_fields(identity: PeerIdentity, to: int | None = None) -> list[tuple[str, str]]:
    """The headers of a request of ours; `to` is said on streams."""
    fields = [
        ("X-Server-From", f"{identity.member_id:x}"),
        ("X-Server-Version", identity.server_version),
        ("X-Min-Cluster-Version", identity.min_cluster_version),
        ("X-Etcd-Cluster-ID", f"{identity.cluster_id:x}"),
        ("X-PeerURLs", ",".join(identity.peer_urls)),
    ]
    return fields if to is None else [*fields, ("X-Raft-To", f"{to:x}")]


def answer_fields(identity: PeerIdentity, says_version: bool = False) -> Pairs:
    """The headers of an answer of ours."""
    fields: Pairs = ((CLUSTER, b"%x" % identity.cluster_id),)
    return (*fields, (VERSION, identity.server_version.encode())) if says_version else fields


def release_of(version: bytes | str | None) -> tuple[int, int]:
    """(major, minor) of a version's text; who says none, or nonsense, counts as older than anything."""
    if version is None:
        return _UNSAID
    text = version.decode("latin-1") if isinstance(version, bytes) else version
    parts = text.split(".")
    # isdigit alone takes superscripts too, which int does not.
    if len(text) > 64 or len(parts) < 2 or not all(part.isascii() and part.isdigit() for part in parts[:2]):
        return _UNSAID
    return int(parts[0]), int(parts[1])


def refusal_of(head: RequestHead, identity: PeerIdentity) -> str | None:
    """Why a request is not listened to (412), in etcd's words and order."""
    if release_of(head.get(VERSION)) < release_of(identity.min_cluster_version):
        return INCOMPATIBLE_VERSION
    if release_of(head.get(_MINIMUM)) > release_of(identity.server_version) or head.get(_MINIMUM) is None:
        return INCOMPATIBLE_VERSION
    if head.get(CLUSTER) != b"%x" % identity.cluster_id:
        return CLUSTER_MISMATCH
    return None


def sender_of(head: RequestHead) -> tuple[int, tuple[str, ...]]:
    """(id, peer URLs) of who sends a request; (0, ()) where it does not say."""
    urls = (head.get(_URLS) or b"").decode("latin-1")
    return parse_id(head.get(_FROM)) or 0, tuple(url for url in urls.split(",") if url)


def addressee_of(head: RequestHead) -> bytes | None:
    """Whom a stream is asked of."""
    return head.get(_TO)


def parse_id(text: bytes | None) -> int | None:
    """A member's id in hexadecimal; None when it is none."""
    if not text or len(text) > 16 or text.strip(_HEX_DIGITS):
        return None
    return int(text, 16)
