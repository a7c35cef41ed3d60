"""RFC 7541: every representation is understood, and every broken one is a connection error COMPRESSION_ERROR."""

import hpack
import pytest

from dualmode.http.interface import ErrorCode as E
from dualmode.http.interface import RequestReceived
from tests.http.conformance import Case, answered, connection_error, parameters, run
from tests.http.wire import END_HEADERS, END_STREAM, HEADERS, PSEUDO, Wire, block, frame, literal

HEAD_BLOCK = block(*PSEUDO)
# h2 names them PROTOCOL_ERROR.
BROKEN = connection_error(E.COMPRESSION_ERROR, E.PROTOCOL_ERROR)


def blocks(*encoded: bytes) -> tuple[bytes, ...]:
    """Requests on streams 1, 3, 5 ... with these header blocks."""
    return tuple(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * at, each) for at, each in enumerate(encoded))


GOOD = [
    Case("2.3.1", "static table", blocks(b"\x83\x86\x84\x01\x04here"), answered()),
    Case(
        "6.1",
        "indexed from the dynamic table",
        blocks(HEAD_BLOCK + literal(b"x", b"y", 0x40), HEAD_BLOCK + b"\xbe"),
        answered(1, 3),
    ),
    Case("6.2.1", "literal with incremental indexing, indexed name", blocks(HEAD_BLOCK + b"\x50\x04gzip"), answered()),
    Case(
        "6.2.1",
        "literal with incremental indexing, new name",
        blocks(HEAD_BLOCK + literal(b"x", b"y", 0x40)),
        answered(),
    ),
    Case("6.2.2", "literal without indexing, indexed name", blocks(HEAD_BLOCK + b"\x0f\x01\x04gzip"), answered()),
    Case("6.2.3", "literal never indexed, indexed name", blocks(HEAD_BLOCK + b"\x1f\x01\x04gzip"), answered()),
    Case("6.2.3", "literal never indexed, new name", blocks(HEAD_BLOCK + literal(b"x", b"y", 0x10)), answered()),
    Case("6.3", "table size update within the limit", blocks(b"\x3f\xe1\x1f" + HEAD_BLOCK), answered()),
    Case("6.3", "two table size updates", blocks(b"\x20\x3f\xe1\x1f" + HEAD_BLOCK), answered()),
    Case(
        "5.2",
        "Huffman",
        blocks(hpack.Encoder().encode(PSEUDO, huffman=True), HEAD_BLOCK + b"\x00\x01x\x81\x1f"),
        answered(),
    ),
    Case(
        "5.1",
        "integer of several bytes",
        blocks(HEAD_BLOCK + b"\x00\x01x\x7f\x80\x01" + bytes(255).replace(b"\0", b"a")),
        answered(),
    ),
]

BAD = [
    Case("2.3.3", "index above both tables", blocks(HEAD_BLOCK + b"\xbe"), BROKEN),
    Case("2.3.3", "name index above both tables", blocks(HEAD_BLOCK + b"\x7f\x00\x01x"), BROKEN),
    Case("6.1", "index 0", blocks(HEAD_BLOCK + b"\x80"), BROKEN),
    Case("4.2", "table size update at the end", blocks(HEAD_BLOCK + b"\x20"), BROKEN),
    Case(
        "4.2", "three table size updates", blocks(b"\x20\x20\x20" + HEAD_BLOCK), BROKEN, h2_differs="hpack counts none"
    ),
    Case("6.3", "table size update above the limit", blocks(b"\x3f\xe2\x1f" + HEAD_BLOCK), BROKEN),
    Case("5.2", "Huffman padding of more than 7 bits", blocks(HEAD_BLOCK + b"\x00\x01x\x82\x1f\xff"), BROKEN),
    Case("5.2", "Huffman padding that is not all ones", blocks(HEAD_BLOCK + b"\x00\x01x\x81\x18"), BROKEN),
    Case("5.2", "Huffman end of string", blocks(HEAD_BLOCK + b"\x00\x01x\x84\xff\xff\xff\xff"), BROKEN),
    Case("5.1", "integer without end", blocks(HEAD_BLOCK + b"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), BROKEN),
    Case("5.1", "integer cut short", blocks(HEAD_BLOCK + b"\x7f\x80"), BROKEN),
    Case("5.2", "name cut short", blocks(HEAD_BLOCK + b"\x00\x05ab"), BROKEN),
    Case("5.2", "value cut short", blocks(HEAD_BLOCK + b"\x00\x01a\x05b"), BROKEN),
    Case("5.2", "value missing", blocks(HEAD_BLOCK + b"\x00\x01a"), BROKEN),
    Case("6.2", "literal that ends after its first byte", blocks(HEAD_BLOCK + b"\x40"), BROKEN),
]


@pytest.mark.parametrize(("engine", "case"), parameters([*GOOD, *BAD]))
def test_case(engine: str, case: Case) -> None:
    run(engine, case)


def test_the_table_lives_across_blocks_whatever_becomes_of_their_streams() -> None:
    """A refused or malformed request has still changed the compression state (RFC 9113 section 4.3)."""
    wire = Wire()
    wire.feed(*blocks(block(PSEUDO[0]) + literal(b"x", b"y", 0x40), HEAD_BLOCK + b"\xbe"))
    (event,) = wire.events_of(RequestReceived)
    assert event.head.get(b"x") == b"y"
