"""What servers read from the metadata of a call."""

import pytest

from dualmode import errors
from dualmode.errors import Code, RpcError
from dualmode.rpc.metadata import CallMetadata, metadata_of
from tests.rpc.fake_link import grpc_head


def test_nothing_said() -> None:
    metadata = CallMetadata(())
    assert not metadata.has_leader
    assert metadata.token is None
    assert metadata.client_api_version == "unknown"
    assert metadata.timeout_seconds is None
    assert not metadata.is_gateway
    assert metadata.encoding is None
    assert metadata.refusal is None


def test_everything_said() -> None:
    metadata = CallMetadata(
        (
            (b"hasleader", b"true"),
            (b"token", b"abc.1"),
            (b"client-api-version", b"3.6"),
            (b"grpc-timeout", b"500m"),
            (b"grpc-encoding", b"gzip"),
            (b"grpcgateway-accept", b"*/*"),
        )
    )
    assert metadata.has_leader
    assert metadata.token == "abc.1"
    assert metadata.client_api_version == "3.6"
    assert metadata.timeout_seconds == 0.5
    assert metadata.encoding == b"gzip"
    assert metadata.is_gateway


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        (((b"authorization", b"t"),), "t"),
        (((b"authorization", b"Bearer t"),), "t"),
        (((b"authorization", b"bearer t"),), "bearer t"),
        (((b"authorization", b"u"), (b"token", b"t")), "t"),
        (((b"token", b"Bearer t"),), "Bearer t"),
    ],
)
def test_the_token(fields: tuple[tuple[bytes, bytes], ...], token: str) -> None:
    assert CallMetadata(fields).token == token


def test_only_the_word_true_asks_for_a_leader() -> None:
    assert not CallMetadata(((b"hasleader", b"1"),)).has_leader


def test_a_malformed_timeout_is_refused() -> None:
    refusal = CallMetadata(((b"grpc-timeout", b"soon"),)).refusal
    assert refusal is not None
    assert (refusal.code, refusal.message[:23]) == (Code.INTERNAL, "malformed grpc-timeout:")


def test_an_api_version_that_is_not_utf8_is_refused() -> None:
    assert CallMetadata(((b"client-api-version", b"\xff"),)).refusal == errors.INVALID_CLIENT_API_VERSION


@pytest.mark.parametrize(("value", "data"), [(b"AAE=", b"\0\1"), (b"AAE", b"\0\1"), (b"", b"")])
def test_binary_values(value: bytes, data: bytes) -> None:
    assert CallMetadata(((b"x-bin", value),)).get_binary("x-bin") == data


def test_binary_values_that_are_none() -> None:
    assert CallMetadata(()).get_binary("x-bin") is None
    with pytest.raises(RpcError, match="malformed binary metadata 'x-bin'"):
        CallMetadata(((b"x-bin", b"A!"),)).get_binary("x-bin")


def test_the_first_of_equal_names_counts() -> None:
    assert CallMetadata(((b"a", b"1"), (b"a", b"2"))).get("a") == "1"


def test_metadata_is_read_once_per_head() -> None:
    head = grpc_head(b"/a/b")
    assert metadata_of(head) is metadata_of(head)


def test_anything_but_post_is_refused() -> None:
    refusal = metadata_of(grpc_head(b"/a/b", method=b"GET")).refusal
    assert refusal is not None
    assert refusal.message == 'Received a HEADERS frame with :method "GET" which should be POST'
