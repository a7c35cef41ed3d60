"""How calls end."""

import pytest

from dualmode.client.status import from_reset, from_trailers, lost
from dualmode.errors import Code
from dualmode.http.interface import ErrorCode, Pairs


@pytest.mark.parametrize(
    ("http_status", "fields", "trailers", "code", "message"),
    [
        (200, (), ((b"grpc-status", b"0"),), None, ""),
        (200, ((b"grpc-status", b"0"),), (), None, ""),
        (200, (), ((b"grpc-status", b"5"), (b"grpc-message", b"no%20such")), Code.NOT_FOUND, "no such"),
        (200, ((b"grpc-status", b"14"), (b"grpc-message", b"%C3%A4")), (), Code.UNAVAILABLE, "ä"),
        (200, (), ((b"grpc-status", b"99"), (b"grpc-message", b"?")), Code.UNKNOWN, "?"),
        (200, (), ((b"grpc-status", b"x"),), Code.UNKNOWN, ""),
        (200, (), ((b"grpc-message", b"%zz"),), Code.INTERNAL, "the server ended the stream without a status"),
        (404, (), (), Code.UNIMPLEMENTED, "unexpected HTTP status code received from server: 404"),
        (503, (), (), Code.UNAVAILABLE, "unexpected HTTP status code received from server: 503"),
        (418, (), (), Code.UNKNOWN, "unexpected HTTP status code received from server: 418"),
        (503, (), ((b"grpc-status", b"8"),), Code.RESOURCE_EXHAUSTED, ""),
    ],
)
def test_the_end_of_an_answer(
    http_status: int, fields: Pairs, trailers: Pairs, code: Code | None, message: str
) -> None:
    error = from_trailers(http_status, fields, trailers)
    if code is None:
        assert error is None
    else:
        assert error is not None
        assert (error.code, error.message) == (code, message)
        assert error.may_have_left


@pytest.mark.parametrize(
    ("error_code", "code"),
    [
        (ErrorCode.CANCEL, Code.CANCELLED),
        (ErrorCode.REFUSED_STREAM, Code.UNAVAILABLE),
        (ErrorCode.ENHANCE_YOUR_CALM, Code.RESOURCE_EXHAUSTED),
        (ErrorCode.INADEQUATE_SECURITY, Code.PERMISSION_DENIED),
        (ErrorCode.INTERNAL_ERROR, Code.INTERNAL),
        (ErrorCode.NO_ERROR, Code.INTERNAL),
        (77, Code.INTERNAL),
    ],
)
def test_resets(error_code: int, code: Code) -> None:
    assert from_reset(error_code, True).code is code
    assert not from_reset(error_code, False).may_have_left


def test_a_lost_connection_is_unavailable() -> None:
    error = lost("gone", may_have_left=False)
    assert (error.code, error.message, error.may_have_left) == (Code.UNAVAILABLE, "gone", False)
