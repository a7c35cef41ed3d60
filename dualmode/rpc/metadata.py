"""Decides: the metadata of a call, read once per header block and kept beside it."""

from __future__ import annotations

import binascii
from typing import Final

from dualmode import errors
from dualmode.errors import Code, RpcError
from dualmode.http.interface import Pairs, RequestHead
from dualmode.rpc.timeouts import parse_timeout

UNKNOWN_API_VERSION: Final = "unknown"
_BEARER: Final = "Bearer "


class CallMetadata:
    """`rpc.calls.Metadata` of a gRPC request, and of any list of lower-case names and values."""

    __slots__ = (
        "_fields",
        "client_api_version",
        "encoding",
        "has_leader",
        "is_gateway",
        "refusal",
        "timeout_seconds",
        "token",
    )

    def __init__(self, fields: Pairs) -> None:
        self._fields = fields
        #: Why a call with this metadata cannot be served at all, or None.
        self.refusal: RpcError | None = None
        self.has_leader = self.get("hasleader") == "true"
        self.token = _token(self.get("token"), self.get("authorization"))
        #: etcd's own mark of calls that came through its JSON gateway.
        self.is_gateway = self._raw(b"grpcgateway-accept") is not None
        #: `grpc-encoding`.
        self.encoding = self._raw(b"grpc-encoding")
        self.client_api_version = self._client_api_version()
        self.timeout_seconds = self._timeout_seconds()

    @property
    def pairs(self) -> Pairs:
        """Names and values as they came."""
        return self._fields

    def _raw(self, name: bytes) -> bytes | None:
        for key, value in self._fields:
            if key == name:
                return value
        return None

    def get(self, name: str) -> str | None:
        """The first value under a lower-case name."""
        value = self._raw(name.encode())
        return None if value is None else value.decode("utf-8", "surrogateescape")

    def get_binary(self, name: str) -> bytes | None:
        """The first value under a name that ends in "-bin": base64, with padding or without. Raises `RpcError`."""
        value = self._raw(name.encode())
        if value is None:
            return None
        try:
            return binascii.a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True)
        except binascii.Error:
            raise RpcError(Code.INTERNAL, f"malformed binary metadata {name!r}") from None

    def _client_api_version(self) -> str:
        value = self._raw(b"client-api-version")
        if value is None:
            return UNKNOWN_API_VERSION
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            self.refusal = errors.INVALID_CLIENT_API_VERSION
            return UNKNOWN_API_VERSION

    def _timeout_seconds(self) -> float | None:
        value = self._raw(b"grpc-timeout")
        if value is None:
            return None
        try:
            return parse_timeout(value)
        except ValueError as error:
            self.refusal = RpcError(Code.INTERNAL, f"malformed grpc-timeout: {error}")
            return None


def _token(token: str | None, authorization: str | None) -> str | None:
    """etcd 3.6 takes `authorization` with and without "Bearer "."""
    return token if token is not None else authorization and authorization.removeprefix(_BEARER)


def metadata_of(head: RequestHead) -> CallMetadata:
    """The metadata of a gRPC request; heads of the same block share it."""
    notes = head.notes
    if notes is None:
        notes = head.notes = CallMetadata(head.fields)
        if head.method != b"POST":
            notes.refusal = not_a_post(head.method)
    assert isinstance(notes, CallMetadata)
    return notes


def not_a_post(method: bytes) -> RpcError:
    """In grpc-go's words."""
    name = method.decode("latin-1")
    return RpcError(Code.INTERNAL, f'Received a HEADERS frame with :method "{name}" which should be POST')
