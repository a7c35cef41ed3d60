"""Decides: the settings of one HTTP/2 connection, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass

from dualmode import limits


@dataclass(frozen=True, slots=True)
class Http2Options:
    """What one side of an HTTP/2 connection allows and how it keeps the connection alive."""

    #: Streams the peer may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS).
    concurrent_streams: int = limits.HTTP2_CONCURRENT_STREAMS
    #: What the peer may send on one stream before it is credited (SETTINGS_INITIAL_WINDOW_SIZE).
    stream_window_bytes: int = limits.HTTP2_STREAM_WINDOW_BYTES
    #: The same for the connection; never below 65,535, where the protocol starts.
    connection_window_bytes: int = limits.HTTP2_CONNECTION_WINDOW_BYTES
    #: The greatest payload of a frame we accept (SETTINGS_MAX_FRAME_SIZE).
    frame_bytes: int = limits.HTTP2_FRAME_BYTES
    #: Unpacked size of one header list (SETTINGS_MAX_HEADER_LIST_SIZE).
    header_list_bytes: int = limits.HTTP2_HEADER_LIST_BYTES
    #: How long the peer may take to acknowledge our SETTINGS.
    settings_timeout_seconds: float = limits.HTTP2_SETTINGS_TIMEOUT_SECONDS
    #: Server role: a client that pings more often is sent away ("too_many_pings"). 0 allows any rate.
    keepalive_min_time_seconds: float = limits.GRPC_KEEPALIVE_MIN_TIME_SECONDS
    #: We ping after hearing nothing for this long. 0 never pings.
    keepalive_interval_seconds: float = limits.GRPC_KEEPALIVE_INTERVAL_SECONDS
    #: How long the peer may take to say anything after our ping.
    keepalive_timeout_seconds: float = limits.GRPC_KEEPALIVE_TIMEOUT_SECONDS
    #: Server role: the client may ping at that rate with no stream open. Client role: we ping with no stream open.
    keepalive_without_streams: bool = False
    #: Client role: what one read brings of a response is one event (`ResponseReceived`). Engines may not know it.
    gathers_responses: bool = False
