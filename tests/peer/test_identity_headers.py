"""Who may speak to us, by headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.http.interface import RequestHead
from dualmode.peer.identity_headers import parse_id, refusal_of, release_of, request_fields, sender_of
from dualmode.peer.interface import PeerIdentity

IDENTITY = PeerIdentity(0x10, 0xABC, ("http://a:1", "http://b:2"), "3.6.0")


def head(**fields: str) -> RequestHead:
    """As a peer of ours sends it, with these fields in place of its own (underscores for dashes); "" leaves one out."""
    named = {name.lower(): value for name, value in request_fields(IDENTITY)}
    named |= {name.replace("_", "-"): value for name, value in fields.items()}
    pairs = tuple((name.encode(), value.encode("latin-1")) for name, value in named.items() if value)
    return RequestHead(b"POST", b"http", b"localhost", b"/raft", pairs)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({}, None),
        ({"x_server_version": "3.4.23"}, None),
        ({"x_server_version": "3.0.0"}, None),
        ({"x_server_version": "4.1.0"}, None),
        ({"x_server_version": "2.3.8"}, "incompatible version"),
        ({"x_server_version": ""}, "incompatible version"),
        ({"x_server_version": "new"}, "incompatible version"),
        ({"x_server_version": "3.\xb2"}, "incompatible version"),
        ({"x_server_version": "3." + "1" * 5000}, "incompatible version"),
        ({"x_min_cluster_version": "3.6.0"}, None),
        ({"x_min_cluster_version": "3.7.0"}, "incompatible version"),
        ({"x_min_cluster_version": ""}, "incompatible version"),
        ({"x_etcd_cluster_id": "abd"}, "cluster ID mismatch"),
        ({"x_etcd_cluster_id": "0abc"}, "cluster ID mismatch"),
        ({"x_etcd_cluster_id": ""}, "cluster ID mismatch"),
        ({"x_etcd_cluster_id": "abd", "x_server_version": "2.3.8"}, "incompatible version"),
    ],
)
def test_who_is_listened_to(fields: dict[str, str], refusal: str | None) -> None:
    assert refusal_of(head(**fields), IDENTITY) == refusal


def test_who_sends_says_where_it_is() -> None:
    assert sender_of(head()) == (0x10, ("http://a:1", "http://b:2"))
    assert sender_of(head(x_server_from="", x_peerurls="")) == (0, ())
    assert sender_of(head(x_peerurls=",http://a:1,")) == (0x10, ("http://a:1",))


@pytest.mark.parametrize(
    ("text", "found"), [(b"0", 0), (b"f" * 16, 2**64 - 1), (b"77d30ea154280a1c", 0x77D30EA154280A1C)]
)
def test_an_id_is_hexadecimal(text: bytes, found: int) -> None:
    assert parse_id(text) == found


@pytest.mark.parametrize("text", [None, b"", b"f" * 17, b"g", b"-1", b"+1", b"0x1", b"1_0", b" 1", b"1\n", b"\xb2"])
def test_anything_else_is_no_id(text: bytes | None) -> None:
    assert parse_id(text) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_some_version_and_some_id(data: bytes) -> None:
    assert release_of(data) >= (0, 0)
    found = parse_id(data)
    assert found is None or 0 <= found < 2**64
