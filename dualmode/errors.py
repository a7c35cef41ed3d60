"""Decides: the one error tree, and the one table from errors to gRPC code, HTTP status and etcd's text.

Blame is written into the class: `AssertionError` is ours, `PeerError` is the other end's (that connection is closed),
`RpcError` is the caller's (a status goes back), `ConfigError` and `StorageError` are the operator's (one clear line).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class DualmodeError(Exception):
    """Everything this program raises on purpose."""


class ConfigError(DualmodeError):
    """Options that cannot work. `faults` lists all of them, each naming its source."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class StartError(DualmodeError):
    """The server cannot start: a port in use, an unreadable certificate, a data dir of another kind."""


class StorageError(DualmodeError):
    """What is on the disk is not what was written, or cannot be written. Names file and offset where known."""


class NoSpaceError(StorageError):
    """The disk is full. Nothing of what was to be written is left half-done; later tries may succeed."""


class PeerError(DualmodeError):
    """The other end of a connection broke its protocol; the connection is closed."""


class Code(IntEnum):
    """gRPC status codes, by number."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


#: Code names as Go's grpc prints them ("rpc error: code = NotFound desc = ...").
CODE_NAMES: Final[dict[Code, str]] = {
    code: "".join(part.capitalize() for part in code.name.split("_")) for code in Code
} | {Code.OK: "OK", Code.CANCELLED: "Canceled"}

#: What the JSON gateway (grpc-gateway 2.x) answers for each code.
HTTP_STATUS: Final[dict[Code, int]] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class RpcError(DualmodeError):
    """A call that ends with a gRPC status other than OK. `code` and `message` go to the client byte for byte."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """As Go's grpc prints a status error; etcd puts this text into watch cancel reasons."""
        return f"rpc error: code = {CODE_NAMES[self.code]} desc = {self.message}"

    def forget_raising(self) -> RpcError:
        """Lets go of the frames it came through; to be called where it ends its way.

        The errors below are one object each, and Python hangs the frames of every raise on the object, behind those of
        the raises before: all requests that were ever refused would stay in memory.
        """
        self.__traceback__ = self.__context__ = None
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RpcError) and (self.code, self.message) == (other.code, other.message)

    def __hash__(self) -> int:
        return hash((self.code, self.message))


def _etcd(code: Code, text: str) -> RpcError:
    return RpcError(code, "etcdserver: " + text)


# etcd's canonical errors. Clients rebuild typed errors from code and text, so both are exact. They are values, not
# classes: raise them as they are (`raise errors.EMPTY_KEY`). Wire codes follow etcd 3.6.
EMPTY_KEY = _etcd(Code.INVALID_ARGUMENT, "key is not provided")
KEY_NOT_FOUND = _etcd(Code.INVALID_ARGUMENT, "key not found")
VALUE_PROVIDED = _etcd(Code.INVALID_ARGUMENT, "value is provided")
LEASE_PROVIDED = _etcd(Code.INVALID_ARGUMENT, "lease is provided")
TOO_MANY_OPERATIONS = _etcd(Code.INVALID_ARGUMENT, "too many operations in txn request")
DUPLICATE_KEY = _etcd(Code.INVALID_ARGUMENT, "duplicate key given in txn request")
INVALID_CLIENT_API_VERSION = _etcd(Code.INVALID_ARGUMENT, "invalid client api version")
INVALID_SORT_OPTION = _etcd(Code.INVALID_ARGUMENT, "invalid sort option")
COMPACTED = _etcd(Code.OUT_OF_RANGE, "mvcc: required revision has been compacted")
FUTURE_REVISION = _etcd(Code.OUT_OF_RANGE, "mvcc: required revision is a future revision")
NO_SPACE = _etcd(Code.RESOURCE_EXHAUSTED, "mvcc: database space exceeded")
LEASE_NOT_FOUND = _etcd(Code.NOT_FOUND, "requested lease not found")
LEASE_EXISTS = _etcd(Code.FAILED_PRECONDITION, "lease already exists")
LEASE_TTL_TOO_LARGE = _etcd(Code.OUT_OF_RANGE, "too large lease TTL")
MEMBER_EXISTS = _etcd(Code.FAILED_PRECONDITION, "member ID already exist")
PEER_URL_EXISTS = _etcd(Code.FAILED_PRECONDITION, "Peer URLs already exists")
# etcd maps its client-side error here, so that the wire code is Unknown in every release.
NOT_ENOUGH_STARTED = _etcd(Code.UNKNOWN, "re-configuration failed due to not enough started members")
BAD_MEMBER_URLS = _etcd(Code.INVALID_ARGUMENT, "given member URLs are invalid")
MEMBER_NOT_FOUND = _etcd(Code.NOT_FOUND, "member not found")
MEMBER_NOT_LEARNER = _etcd(Code.FAILED_PRECONDITION, "can only promote a learner member")
LEARNER_NOT_READY = _etcd(Code.FAILED_PRECONDITION, "can only promote a learner member which is in sync with leader")
TOO_MANY_LEARNERS = _etcd(Code.FAILED_PRECONDITION, "too many learner members in cluster")
CLUSTER_ID_MISMATCH = _etcd(Code.FAILED_PRECONDITION, "cluster ID mismatch")
REQUEST_TOO_LARGE = _etcd(Code.INVALID_ARGUMENT, "request is too large")
TOO_MANY_REQUESTS = _etcd(Code.UNKNOWN, "too many requests")
ROOT_USER_MISSING = _etcd(Code.FAILED_PRECONDITION, "root user does not exist")
ROOT_ROLE_MISSING = _etcd(Code.FAILED_PRECONDITION, "root user does not have root role")
USER_EXISTS = _etcd(Code.FAILED_PRECONDITION, "user name already exists")
USER_EMPTY = _etcd(Code.INVALID_ARGUMENT, "user name is empty")
USER_NOT_FOUND = _etcd(Code.FAILED_PRECONDITION, "user name not found")
ROLE_EXISTS = _etcd(Code.FAILED_PRECONDITION, "role name already exists")
ROLE_NOT_FOUND = _etcd(Code.FAILED_PRECONDITION, "role name not found")
ROLE_EMPTY = _etcd(Code.INVALID_ARGUMENT, "role name is empty")
AUTH_FAILED = _etcd(Code.INVALID_ARGUMENT, "authentication failed, invalid user ID or password")
PERMISSION_NOT_GIVEN = _etcd(Code.INVALID_ARGUMENT, "permission not given")
PERMISSION_DENIED = _etcd(Code.PERMISSION_DENIED, "permission denied")
ROLE_NOT_GRANTED = _etcd(Code.FAILED_PRECONDITION, "role is not granted to the user")
PERMISSION_NOT_GRANTED = _etcd(Code.FAILED_PRECONDITION, "permission is not granted to the role")
AUTH_NOT_ENABLED = _etcd(Code.FAILED_PRECONDITION, "authentication is not enabled")
INVALID_AUTH_TOKEN = _etcd(Code.UNAUTHENTICATED, "invalid auth token")
INVALID_AUTH_MANAGEMENT = _etcd(Code.INVALID_ARGUMENT, "invalid auth management")
AUTH_OLD_REVISION = _etcd(Code.INVALID_ARGUMENT, "revision of auth store is old")
# Not among etcd's canonical errors, hence Unknown and in the words of the library below.
NO_PASSWORD_USER = RpcError(Code.UNKNOWN, "auth: authentication failed, password was given for no password user")
TOKENS_NOT_SIGNED_HERE = RpcError(Code.UNKNOWN, "auth: token signing attempted with verify-only key")
PASSWORD_TOO_LONG = RpcError(Code.UNKNOWN, "bcrypt: password length exceeds 72 bytes")
NO_LEADER = _etcd(Code.UNAVAILABLE, "no leader")
NOT_LEADER = _etcd(Code.FAILED_PRECONDITION, "not leader")
LEADER_CHANGED = _etcd(Code.UNAVAILABLE, "leader changed")
NOT_CAPABLE = _etcd(Code.FAILED_PRECONDITION, "not capable")
STOPPED = _etcd(Code.UNAVAILABLE, "server stopped")
TIMEOUT = _etcd(Code.UNAVAILABLE, "request timed out")
TIMEOUT_LEADER_FAIL = _etcd(Code.UNAVAILABLE, "request timed out, possibly due to previous leader failure")
TIMEOUT_CONNECTION_LOST = _etcd(Code.UNAVAILABLE, "request timed out, possibly due to connection lost")
TIMEOUT_WAIT_APPLIED = _etcd(Code.UNAVAILABLE, "request timed out, waiting for the applied index took too long")
UNHEALTHY = _etcd(Code.UNAVAILABLE, "unhealthy cluster")
CORRUPT = _etcd(Code.DATA_LOSS, "corrupt cluster")
NOT_SUPPORTED_FOR_LEARNER = _etcd(Code.FAILED_PRECONDITION, "rpc not supported for learner")
BAD_LEADER_TRANSFEREE = _etcd(Code.FAILED_PRECONDITION, "bad leader transferee")
CLUSTER_VERSION_UNAVAILABLE = _etcd(Code.FAILED_PRECONDITION, "cluster version not found during downgrade")
WRONG_DOWNGRADE_VERSION_FORMAT = _etcd(Code.INVALID_ARGUMENT, "wrong downgrade target version format")
INVALID_DOWNGRADE_TARGET = _etcd(Code.INVALID_ARGUMENT, "invalid downgrade target version")
DOWNGRADE_IN_PROCESS = _etcd(Code.FAILED_PRECONDITION, "cluster has a downgrade job in progress")
NO_INFLIGHT_DOWNGRADE = _etcd(Code.FAILED_PRECONDITION, "no inflight downgrade job")
REQUEST_CANCELED = _etcd(Code.CANCELLED, "request canceled")
DEADLINE_EXCEEDED = _etcd(Code.DEADLINE_EXCEEDED, "context deadline exceeded")
