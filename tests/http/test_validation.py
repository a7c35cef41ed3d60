"""Header lists by themselves; the clauses are in test_conformance_messages.py, here is what a request cannot show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.http.interface import Pairs
from dualmode.http.validation import UNKNOWN_LENGTH, MalformedError, request_head, response_head, trailer_fields
from tests.http.wire import PSEUDO

METHOD, SCHEME, AUTHORITY, PATH = PSEUDO


@pytest.mark.parametrize("length", [1, 100, 128, 129, 5000])
def test_verdicts_do_not_depend_on_what_is_remembered(length: int) -> None:
    """Short fields are judged once and remembered, long ones each time."""
    good, bad = b"/" + b"a" * length, b"/" + b"a" * length + b"\x7f"
    for _ in range(2):
        assert request_head((METHOD, SCHEME, AUTHORITY, (b":path", good)))[0].path == good
        with pytest.raises(MalformedError):
            request_head((METHOD, SCHEME, AUTHORITY, (b":path", bad)))
        assert trailer_fields(((b"x", good),)) == ((b"x", good),)
        with pytest.raises(MalformedError):
            trailer_fields(((b"x", bad),))


@pytest.mark.parametrize(
    "pairs",
    [
        (METHOD, SCHEME, (b":authority", b"he re"), PATH),
        (METHOD, SCHEME, PATH, (b"host", b"he re")),
        (METHOD, (b":scheme", b"1ttp"), AUTHORITY, PATH),
        ((b":method", b""), SCHEME, AUTHORITY, PATH),
        ((b":method", b"CONNECT"), (b":authority", b"")),
    ],
)
def test_malformed(pairs: Pairs) -> None:
    with pytest.raises(MalformedError):
        request_head(pairs)


def test_odd_but_lawful_authorities() -> None:
    """etcd's own client has sent these (3.5.0), and upper case is the same host."""
    for authority in (b"#initially=[localhost:2379]", b"", b"etcd-endpoints://0xc000/x"):
        assert request_head((METHOD, SCHEME, (b":authority", authority), PATH))[0].authority == authority
    assert request_head((METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"HERE")))[0].authority == b"here"
    assert request_head((METHOD, SCHEME, PATH))[0].authority == b""


def test_content_length() -> None:
    assert request_head(PSEUDO)[1] == UNKNOWN_LENGTH
    assert request_head((*PSEUDO, (b"content-length", b"0017")))[1] == 17
    assert response_head(((b":status", b"200"), (b"content-length", b"5")))[2] == 5
    with pytest.raises(MalformedError):
        response_head(((b":status", b"200"), (b"content-length", b"9" * 19)))


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=4))
def test_what_passes_can_be_written_into_http_1(pairs: list[tuple[bytes, bytes]]) -> None:
    """No accepted field can end its line, begin another one, or be taken for a pseudo-header."""
    try:
        fields = trailer_fields(tuple(pairs))
    except MalformedError:
        return
    for name, value in fields:
        assert name
        assert name == name.lower()
        assert not set(name) & set(b" \t\r\n:\0")
        assert not set(value) & set(b"\r\n\0")
        assert value == value.strip(b" \t")
