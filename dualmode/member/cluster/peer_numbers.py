"""Decides: which numbers of the transport stand behind which of etcd's metric names."""

from __future__ import annotations

from collections.abc import Callable

from dualmode.metrics import Histogram
from dualmode.peer.remote_peer import RemotePeer
from dualmode.peer.transport import PeerTransport
from dualmode.status.families import Labels, Number, Value
from dualmode.status.rpc_metrics import Bindings


def peer_bindings(transport: PeerTransport) -> Bindings:
    """Name -> what reads the numbers, one for each peer."""
    own_id = f"{transport.identity.member_id:x}"

    def of_each(number: Callable[[RemotePeer], Number], *more: str) -> Callable[[], Value]:
        return lambda: {(*more, f"{peer.member_id:x}"): number(peer) for peer in _peers(transport)}

    return {
        "etcd_network_active_peers": of_each(lambda peer: int(peer.active_since is not None), own_id),
        "etcd_network_known_peers": of_each(lambda peer: 1, own_id),
        "etcd_network_disconnected_peers_total": of_each(lambda peer: peer.counters.disconnects, own_id),
        "etcd_network_peer_sent_bytes_total": of_each(lambda peer: peer.counters.sent_bytes),
        "etcd_network_peer_received_bytes_total": of_each(lambda peer: peer.counters.received_bytes),
        "etcd_network_peer_sent_failures_total": of_each(lambda peer: peer.counters.send_failures),
        "etcd_network_peer_round_trip_time_seconds": lambda: _round_trips(transport),
        "etcd_network_snapshot_send_success": of_each(lambda peer: peer.counters.snapshots_sent),
        "etcd_network_snapshot_send_failures": of_each(lambda peer: peer.counters.snapshots_failed),
        "etcd_network_snapshot_receive_success": of_each(lambda peer: peer.counters.snapshots_received),
    }


def _round_trips(transport: PeerTransport) -> dict[Labels, Histogram]:
    return {(f"{peer.member_id:x}",): peer.counters.round_trip_seconds for peer in _peers(transport)}


def _peers(transport: PeerTransport) -> list[RemotePeer]:
    return [peer for peer in transport.peers.values() if not peer.is_remote]
