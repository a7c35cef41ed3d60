"""A body in chunks, in every cut, beside h11's reading of it."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.errors import PeerError
from dualmode.peer.chunked_body import ChunkedBody

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read_by_h11(data: bytes) -> bytes | None:
    """What h11 takes the body to be; None where it refuses it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD + data)
    found = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                found += bytes(event.data)
            elif event is h11.NEED_DATA or isinstance(event, h11.EndOfMessage):
                return found
    except h11.RemoteProtocolError:
        return None


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
    st.booleans(),
)
def test_what_is_sent_arrives_in_any_cuts(pieces: list[bytes], cuts: list[int], ends: bool) -> None:
    data = chunked(pieces) + b"0\r\n\r\n" * ends
    body, found = ChunkedBody(), b""
    while data:
        size = cuts[0]
        cuts = [*cuts[1:], size]
        found += body.feed(data[:size])
        data = data[size:]
    assert found == b"".join(pieces)
    assert body.is_over == ends


def test_every_cut_of_a_body() -> None:
    data = b"5\r\nhello\r\nB;a=b\r\n, \r\nworld\r\n\r\n1 \r\n!\r\n0\r\nDate: now\r\n\r\n"
    for first in range(len(data) + 1):
        body = ChunkedBody()
        assert body.feed(data[:first]) + body.feed(data[first:]) == b"hello, \r\nworld\r\n!"
        assert body.is_over
    assert read_by_h11(data) == b"hello, \r\nworld\r\n!"


def test_a_part_of_a_chunk_is_given_at_once() -> None:
    body = ChunkedBody()
    assert body.feed(b"ffffffff\r\nab") == b"ab"
    assert body.feed(b"cd") == b"cd"
    assert not body.is_over


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"1_0\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\rx",
        b"fffffffffffffffff\r\n",
        b"5;" + b"x" * 300,
        b"1" * 300,
    ],
)
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match="no chunk begins or ends with"):
        ChunkedBody().feed(data)
    body = ChunkedBody()
    with pytest.raises(PeerError, match="no chunk begins or ends with"):
        [body.feed(bytes((byte,))) for byte in data]


@given(st.lists(st.sampled_from([b"0", b"5", b"a", b"\r\n", b"\r", b"\n", b";", b"hello", b" ", b"g"]), max_size=12))
def test_nothing_is_taken_that_h11_refuses(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    body = ChunkedBody()
    try:
        found = body.feed(data)
    except PeerError:
        return
    if not body.is_over:  # h11 looks at what stands behind the end too
        assert read_by_h11(data) in (found, None)
        if found:
            assert read_by_h11(data) == found
