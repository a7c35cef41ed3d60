"""gRPC frames: what is one, cut anywhere, and what is refused before it costs anything."""

import gzip
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.errors import Code, RpcError
from dualmode.rpc import framing
from dualmode.rpc.framing import Unframer, check_encoding, frame, only_message, refusal_of_size

LIMIT = 100


def compressed(data: bytes) -> bytes:
    packed = gzip.compress(data, mtime=0)
    return struct.pack(">BI", 1, len(packed)) + packed


def test_a_frame_is_flag_length_message() -> None:
    assert frame(b"abc") == b"\0\0\0\0\3abc"


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (frame(b""), None, b""),
        (frame(b"x" * LIMIT), None, b"x" * LIMIT),
        (frame(b"plain"), b"gzip", b"plain"),
        (frame(b"plain"), b"identity", b"plain"),
        (compressed(b"y" * LIMIT), b"gzip", b"y" * LIMIT),
        (compressed(b""), b"gzip", b""),
    ],
)
def test_the_only_message(body: bytes, encoding: bytes | None, message: bytes) -> None:
    assert only_message(body, encoding, LIMIT) == message


@pytest.mark.parametrize(
    ("body", "encoding", "code", "text"),
    [
        (b"", None, Code.UNIMPLEMENTED, "no message"),
        (b"\0\0\0\0", None, Code.INTERNAL, "middle of a message"),
        (frame(b"abc")[:-1], None, Code.INTERNAL, "middle of a message"),
        (frame(b"abc") + b"\0", None, Code.UNIMPLEMENTED, "second message"),
        (frame(b"x" * 101), None, Code.RESOURCE_EXHAUSTED, r"larger than max \(101 vs. 100\)"),
        (b"\0\xff\xff\xff\xff", None, Code.RESOURCE_EXHAUSTED, r"larger than max \(4294967295 vs. 100\)"),
        (b"\x02\0\0\0\0", None, Code.INTERNAL, "unexpected payload format 2"),
        (compressed(b"a"), None, Code.INTERNAL, "compressed flag set with identity or empty encoding"),
        (compressed(b"a"), b"identity", Code.INTERNAL, "compressed flag set"),
        (compressed(b"a"), b"snappy", Code.UNIMPLEMENTED, 'not installed for grpc-encoding "snappy"'),
        (compressed(b"z" * 101), b"gzip", Code.RESOURCE_EXHAUSTED, r"after decompression larger than max \(101 vs"),
        (compressed(b"z" * 40_000), b"gzip", Code.RESOURCE_EXHAUSTED, r"larger than max \(101 vs"),
        (b"\1\0\0\0\2zz", b"gzip", Code.INTERNAL, "failed to decompress"),
        (b"\1\0\0\0\x0a" + gzip.compress(b"abc", mtime=0)[:10], b"gzip", Code.INTERNAL, "unexpected EOF"),
    ],
)
def test_what_is_no_only_message(body: bytes, encoding: bytes | None, code: Code, text: str) -> None:
    with pytest.raises(RpcError, match=text) as caught:
        only_message(body, encoding, LIMIT)
    assert caught.value.code is code


@given(st.lists(st.binary(max_size=LIMIT), max_size=8), st.data())
def test_messages_come_out_whatever_the_cuts(messages: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(frame(message) if len(message) % 2 else compressed(message) for message in messages)
    unframer = Unframer(b"gzip", 2 * LIMIT)
    received = []
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        unframer.feed(wire[:cut])
        wire = wire[cut:]
        while (message := unframer.take()) is not None:
            received.append(message)
    unframer.check_end()
    assert received == messages
    assert unframer.buffered_bytes == 0


def outcome(pieces: list[bytes]) -> list[bytes | str]:
    """Everything that comes out of a body that came so, errors included."""
    unframer = Unframer(None, LIMIT)
    received: list[bytes | str] = []
    try:
        for piece in pieces:
            unframer.feed(piece)
            received += iter(unframer.take, None)
        unframer.check_end()
    except RpcError as error:
        received.append(error.message)
    return received


@given(st.lists(st.binary(max_size=8) | st.sampled_from([frame(b"ab"), b"\0\0\0\0"]), max_size=6), st.integers(0, 60))
def test_what_comes_out_of_any_bytes_does_not_depend_on_the_cut(parts: list[bytes], cut: int) -> None:
    wire = b"".join(parts)
    assert outcome([wire[:cut], wire[cut:]]) == outcome([wire])


def test_pieces_that_are_whole_messages() -> None:
    wire = frame(b"") + frame(b"four") + frame(b"")
    assert Unframer(None, 4).whole(wire) == [b"", b"four", b""]
    assert Unframer(None, 4).whole(b"") == []
    for piece in (wire[:-1], wire[:7], wire + b"\0", b"\1" + wire[1:], b"\0\xff\xff\xff\xff"):
        assert Unframer(None, 4).whole(piece) == []
    assert Unframer(None, 3).whole(wire) == [], "the long way says what is wrong"


def test_every_cut_of_two_messages() -> None:
    wire = frame(b"one") + frame(b"two")
    for cut in range(len(wire) + 1):
        unframer = Unframer(None, LIMIT)
        unframer.feed(wire[:cut])
        first = list(iter(unframer.take, None))
        unframer.feed(wire[cut:])
        assert first + list(iter(unframer.take, None)) == [b"one", b"two"]


def test_too_large_a_message_is_refused_at_its_prefix() -> None:
    unframer = Unframer(None, LIMIT)
    unframer.feed(frame(b"x" * 101)[:5])
    with pytest.raises(RpcError, match=r"101 vs\. 100"):
        unframer.take()


def test_an_end_within_a_message() -> None:
    unframer = Unframer(None, LIMIT)
    unframer.feed(b"\0\0")
    assert unframer.take() is None
    with pytest.raises(RpcError, match="middle of a message"):
        unframer.check_end()


def test_known_encodings_pass() -> None:
    for encoding in (None, b"identity", b"gzip"):
        check_encoding(encoding)


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (b"\0\0\0\0\x65", "larger than max (101 vs. 100)"),
        (b"\x01\xff\xff\xff\xff", "larger than max (4294967295 vs. 100)"),
        (b"\0\0\0\0\x64", "second message"),
        (b"\0\0\0\x01", "larger than max (101 vs. 100)"),
        (b"", "larger than max (101 vs. 100)"),
    ],
)
def test_what_the_start_of_a_dropped_body_says(start: bytes, text: str) -> None:
    assert text in refusal_of_size(start, LIMIT).message


@given(st.binary(max_size=20), st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=20), st.binary())
def test_messages_that_differ_in_their_middle(head: bytes, middles: list[bytes], tail: bytes) -> None:
    data = b"".join(framing.frames_around(head, alike, tail) for alike in framing.by_length(middles))
    expected = [head + middle + tail for alike in framing.by_length(middles) for middle in alike]
    assert list(framing.unframed(data)) == expected
    assert data == b"".join(map(framing.frame, expected))
    assert sorted(expected) == sorted(head + middle + tail for middle in middles)
