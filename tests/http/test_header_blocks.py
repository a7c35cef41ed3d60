"""Header blocks against `hpack`, which is the judge of both directions."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualmode import limits
from dualmode.http.interface import ErrorCode, Fields
from dualmode.http.native.faults import ConnectionFaultError
from dualmode.http.native.header_blocks import HeaderDecoder, block_of

NAMES = st.sampled_from(
    [b":method", b":path", b"te", b"user-agent", b"grpc-timeout", b"x", b"a" * 130, b"token", b"accept-encoding"]
)
VALUES = st.one_of(st.binary(max_size=8), st.sampled_from([b"GET", b"gzip, deflate", b"v" * 200, b"trailers"]))
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
STATIC = [b":authority", b":path", b"user-agent", b"via", b"www-authenticate", b"accept"]


def test_what_is_encoded_is_constant_and_understood() -> None:
    fields = Fields((b":status", b"200"), (b":status", b"299"), (b"content-type", b"application/grpc"), (b"x", b"y"))
    first = block_of(fields)
    assert block_of(fields) is first
    assert first[:1] == b"\x88"
    decoder = hpack.Decoder()
    for _ in range(2):
        assert tuple(map(tuple, decoder.decode(first, raw=True))) == fields.pairs
    assert not decoder.header_table.dynamic_entries


@given(LISTS)
def test_encoded_lists_come_back(pairs: list[tuple[bytes, bytes]]) -> None:
    encoded = block_of(Fields(*pairs))
    assert [tuple(pair) for pair in hpack.Decoder().decode(encoded, raw=True)] == pairs
    assert HeaderDecoder(1 << 20).decode(encoded) == (tuple(pairs), True)


@given(st.sampled_from(STATIC), st.integers(0, 20_000))
def test_long_values(name: bytes, length: int) -> None:
    pairs = ((name, b"z" * length),)
    assert tuple(map(tuple, hpack.Decoder().decode(block_of(Fields(*pairs)), raw=True))) == pairs


@given(st.lists(st.tuples(LISTS, st.booleans()), max_size=6))
def test_blocks_of_an_indexing_encoder(blocks: list[tuple[list[tuple[bytes, bytes]], bool]]) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder(1 << 20)
    for pairs, huffman in blocks:
        decoded, _ = decoder.decode(encoder.encode(pairs, huffman=huffman))
        assert decoded == tuple(pairs)


PIECES = st.one_of(
    st.binary(min_size=1, max_size=6),
    st.sampled_from(
        [
            *(b"\x82", b"\xbe", b"\xbf", b"\xff\x00", b"\x40\x01x\x01y", b"\x41\x81\x1f", b"\x00\x01x\x01y"),
            *(b"\x20", b"\x3f\x00", b"\x3f\xe1\x1f", b"\x3f\xe2\x1f", b"\x7f\x00\x01v", b"\x0f\x2f\x01v"),
            *(b"\x04\x01/", b"\x80", b"\x1f"),
        ]
    ),
)


@settings(max_examples=300)
@given(st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=5))
def test_any_bytes_mean_the_same_as_to_hpack(blocks: list[bytes]) -> None:
    """Whatever is accepted is what hpack says, with the same table after it; whatever is refused is refused by both
    (but for three size updates in a row, which only we mind)."""
    theirs, ours = hpack.Decoder(200), HeaderDecoder(200)
    for each in blocks:
        try:
            wanted: object = tuple(map(tuple, theirs.decode(each, raw=True)))
        except hpack.HPACKError:
            wanted = None
        try:
            found: object = ours.decode(each)[0]
        except ConnectionFaultError:
            found = None
        if found is None and wanted is not None:
            assert all(byte & 0xE0 == 0x20 for byte in each[:3])
            return
        assert found == wanted
        if wanted is None:
            return
        assert list(ours._table.dynamic_entries) == list(theirs.header_table.dynamic_entries)


def test_what_leaves_the_table_alone_is_told() -> None:
    decoder = HeaderDecoder(1000)
    assert decoder.decode(b"\x82")[1]
    assert decoder.decode(b"\x00\x01x\x01y")[1]
    assert not decoder.decode(b"\x40\x01x\x01y")[1]
    assert not decoder.decode(b"\x20")[1]
    assert not decoder.decode(b"\x44\x01/")[1]
    assert decoder.decode(b"\x82\x1f\x00\x01v")[1]


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        (b"\x00\x01x\x7f\x10" + bytes(143), ErrorCode.ENHANCE_YOUR_CALM),
        (b"\x82" * 4, ErrorCode.ENHANCE_YOUR_CALM),
        (b"\x82" * 2 + b"\x00\x02xx\x21" + bytes(33), ErrorCode.ENHANCE_YOUR_CALM),
        (b"\xff", ErrorCode.COMPRESSION_ERROR),
    ],
)
def test_faults(encoded: bytes, code: ErrorCode) -> None:
    """`:method GET` counts 42 bytes; the limit is 150 for the whole list, whoever decodes which part of it."""
    with pytest.raises(ConnectionFaultError) as caught:
        HeaderDecoder(150).decode(encoded)
    assert caught.value.code == code


def test_memory_is_emptied_when_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP2_REMEMBERED_BLOCKS", 2)
    decoder: HeaderDecoder[int] = HeaderDecoder(100)
    for encoded in (b"1", b"2", b"3"):
        decoder.remember(encoded, 7, ())
    assert decoder.memory == {b"3": 7}


def test_long_blocks_and_lists_are_not_remembered() -> None:
    decoder: HeaderDecoder[int] = HeaderDecoder(100)
    decoder.remember(bytes(limits.HTTP2_REMEMBERED_BLOCK_BYTES + 1), 7, ())
    decoder.remember(b"1", 7, ((b"a", b"b"),) * (limits.HTTP2_REMEMBERED_FIELDS + 1))
    assert decoder.memory == {}
