"""grpc-status and grpc-message as they stand on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode import errors
from dualmode.errors import Code, RpcError
from dualmode.rpc.status import OK_TRAILERS, decode_message, encode_message, error_only, error_trailers


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("etcdserver: key not found", b"etcdserver: key not found"),
        ("100%", b"100%25"),
        ("a\nb\x7f", b"a%0Ab%7F"),
        ("käse", b"k%C3%A4se"),
        ("bad \udcff byte", b"bad %FF byte"),
    ],
)
def test_messages_are_percent_encoded(text: str, wire: bytes) -> None:
    assert encode_message(text) == wire


@given(st.text())
def test_a_message_survives(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert decode_message(encode_message(text)) == text


@pytest.mark.parametrize("wire", [b"%", b"%zz", b"a%4"])
def test_a_badly_encoded_message_is_taken_as_it_is(wire: bytes) -> None:
    assert decode_message(wire).encode() == wire


def test_an_error_without_messages_is_one_block() -> None:
    fields = error_only(errors.EMPTY_KEY)
    assert fields.pairs == (
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"3"),
        (b"grpc-message", b"etcdserver: key is not provided"),
    )
    assert error_only(RpcError(Code.INVALID_ARGUMENT, errors.EMPTY_KEY.message)) is fields, "constant bytes"


def test_trailers() -> None:
    assert error_trailers(None) is OK_TRAILERS
    assert error_trailers(RpcError(Code.UNKNOWN, "")).pairs == ((b"grpc-status", b"2"),)
    assert error_trailers(errors.NO_LEADER).get(b"grpc-message") == b"etcdserver: no leader"
