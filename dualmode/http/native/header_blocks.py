"""Decides: header blocks (RFC 7541): decoding through `hpack` with a memory for repeated blocks, encoding to constants.

Decoding a block through `hpack` costs 20 to 30 microseconds, several times the rest of a call. Two things make it rare:

* gRPC clients without deadlines send the same few blocks again and again, and so do servers: heads and trailers of
  answers that went well. What a block means depends on the decoder's dynamic table only, so `HeaderDecoder.memory` maps
  block bytes to what they meant, and is emptied whenever the table changes. A hit costs one dictionary look-up; of a
  request, the layers above find in it the very `RequestHead` on which they left the route.
* Clients with deadlines send a new `grpc-timeout` with every call, which also changes the table. Their blocks are made
  of two forms, an index in one byte and a short literal with an indexed name; those are read here, with `hpack`'s table
  and Huffman code. At the first octet of any other form `hpack` takes over for the rest of the block.

Encoding touches no dynamic table: a field list is the same bytes on every connection, made once per `Fields`.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import hpack
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from dualmode import limits
from dualmode.http.interface import ErrorCode, Fields, Pairs
from dualmode.http.native.faults import ConnectionFaultError

#: What a block means to the role that decodes it.
Meaning = TypeVar("Meaning")

#: The table size update to 0 (RFC 7541 section 6.3).
TABLE_SIZE_ZERO: Final = b"\x20"
#: Values that intermediaries must not put into their tables (RFC 7541 section 7.1.3).
_SENSITIVE: Final = frozenset({b"authorization", b"cookie", b"set-cookie", b"token", b"proxy-authorization"})
#: RFC 7541 section 4.2: two size updates suffice for any change; more are a way to make us work.
_TABLE_SIZE_UPDATES: Final = 2


class _WatchedTable(HeaderTable):
    """hpack's dynamic table, counting its changes."""

    def __init__(self) -> None:
        self.changes = 0
        super().__init__()

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        return super().maxsize

    @maxsize.setter
    def maxsize(self, newmax: int) -> None:
        self.changes += 1
        HeaderTable.maxsize.fset(self, newmax)  # type: ignore[attr-defined]


class HeaderDecoder(Generic[Meaning]):
    """The decoder of one connection. Its owner looks into `memory` first and calls `decode` on a miss."""

    __slots__ = ("_decoder", "_list_bytes", "_table", "memory")

    def __init__(self, header_list_bytes: int) -> None:
        self._decoder = hpack.Decoder(header_list_bytes)
        self._list_bytes = header_list_bytes
        self._table = _WatchedTable()
        self._decoder.header_table = self._table
        #: Block -> what it means while the table stays as it is.
        self.memory: dict[bytes, Meaning] = {}

    def decode(self, block: bytes) -> tuple[Pairs, bool]:
        """The header list, and whether the block left the table alone.

        Raises ConnectionFaultError: a block that cannot be decoded, or unfolds to too much, puts the tables apart.
        """
        if block[: _TABLE_SIZE_UPDATES + 1].translate(_IS_SIZE_UPDATE) == b"\x01" * (_TABLE_SIZE_UPDATES + 1):
            raise ConnectionFaultError(ErrorCode.COMPRESSION_ERROR, "too many table size updates")
        changes = self._table.changes
        try:
            pairs, at, size_bytes = self._decode_common(block)
            if at < len(block):
                pairs += self._decode_rest(block[at:], size_bytes, is_start=at == 0)
        except hpack.OversizedHeaderListError:
            raise ConnectionFaultError(ErrorCode.ENHANCE_YOUR_CALM, "header list too large") from None
        except hpack.HPACKError as error:
            raise ConnectionFaultError(ErrorCode.COMPRESSION_ERROR, f"header block: {error}") from None
        if self._table.changes == changes:
            return tuple(pairs), True
        self.memory.clear()
        return tuple(pairs), False

    def _decode_common(self, block: bytes) -> tuple[list[tuple[bytes, bytes]], int, int]:
        """Reads the two common forms (RFC 7541 sections 6.1 and 6.2) as long as they last: the fields, where the first
        other form begins, and the size of the list so far."""
        dynamic = self._table.dynamic_entries
        pairs: list[tuple[bytes, bytes]] = []
        at = size_bytes = 0
        end = len(block)
        while at < end:
            form, index = _FORMS[block[at]]
            if form == _OTHER or index >= _STATIC_END + len(dynamic):
                break
            pair = _STATIC[index] if index < _STATIC_END else dynamic[index - _STATIC_END]
            at_next = at + 1
            if form != _INDEXED:
                length = block[at_next] if at_next < end else _LONG
                start, at_next = at_next + 1, at_next + 1 + (length & 0x7F)
                if length & 0x7F == _LONG or at_next > end:
                    break
                value = block[start:at_next]
                pair = (pair[0], decode_huffman(value) if length & 0x80 else value)
                if form == _ADDED:
                    self._table.add(*pair)
            size_bytes += len(pair[0]) + len(pair[1]) + _FIELD_OVERHEAD_BYTES
            if size_bytes > self._list_bytes:
                raise hpack.OversizedHeaderListError
            pairs.append(pair)
            at = at_next
        return pairs, at, size_bytes

    def _decode_rest(self, block: bytes, size_bytes: int, is_start: bool) -> list[tuple[bytes, bytes]]:
        """The rest of a block, through `hpack`; so many bytes of the list are used up already."""
        if not is_start and _IS_SIZE_UPDATE[block[0]]:
            raise ConnectionFaultError(ErrorCode.COMPRESSION_ERROR, "table size update within a header block")
        self._decoder.max_header_list_size = self._list_bytes - size_bytes
        return [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]

    def remember(self, block: bytes, meaning: Meaning, fields: Pairs) -> None:
        """Keeps what a block that left the table alone means, within bounds; `fields` is what it unfolded to."""
        if len(block) > limits.HTTP2_REMEMBERED_BLOCK_BYTES or len(fields) > limits.HTTP2_REMEMBERED_FIELDS:
            return
        if len(self.memory) >= limits.HTTP2_REMEMBERED_BLOCKS:
            self.memory.clear()  # blocks in use come back at the cost of one decode each
        self.memory[block] = meaning


#: Maps a byte to 1 if it starts a table size update of one byte or more.
_IS_SIZE_UPDATE: Final = bytes(1 if byte & 0xE0 == 0x20 else 0 for byte in range(256))
#: Index 0 is no entry; `_FORMS` never gives it.
_STATIC: Final = ((b"", b""), *HeaderTable.STATIC_TABLE)
_STATIC_END: Final = len(_STATIC)
#: A 7-bit length that goes on in the next byte.
_LONG: Final = 0x7F
_INDEXED, _ADDED, _PLAIN, _OTHER = range(4)


def _form_of(first: int) -> tuple[int, int]:
    """What the first byte of a field says: its form, and its index where that fits into the byte."""
    if first >= 0x80:
        form, index, most = _INDEXED, first & 0x7F, 0x7F
    elif first >= 0x40:
        form, index, most = _ADDED, first & 0x3F, 0x3F
    elif first >= 0x20:
        return _OTHER, 0
    else:  # without indexing, or never indexed
        form, index, most = _PLAIN, first & 0x0F, 0x0F
    return (form, index) if 0 < index < most else (_OTHER, 0)


_FORMS: Final = tuple(_form_of(first) for first in range(256))
#: What RFC 7541 section 4.1 adds to each field when sizes are counted.
_FIELD_OVERHEAD_BYTES: Final = 32
_STATIC_PAIRS: Final = {pair: index for index, pair in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))}
_STATIC_NAMES: Final = {name: index for (name, _), index in reversed(_STATIC_PAIRS.items())}


def block_of(fields: Fields) -> bytes:
    """The HPACK form of a field list, remembered in it."""
    block = fields.block
    if block is None:
        block = fields.block = b"".join(_encode_field(name, value) for name, value in fields.pairs)
    return block


def _encode_field(name: bytes, value: bytes) -> bytes:
    """An index of the static table, or a literal without indexing (RFC 7541 sections 6.1, 6.2.2, 6.2.3)."""
    index = _STATIC_PAIRS.get((name, value))
    if index is not None:
        return _encode_integer(0x80, 7, index)
    kind = 0x10 if name in _SENSITIVE else 0x00
    name_index = _STATIC_NAMES.get(name)
    if name_index is not None:
        return _encode_integer(kind, 4, name_index) + _encode_string(value)
    return bytes((kind,)) + _encode_string(name) + _encode_string(value)


def _encode_string(text: bytes) -> bytes:
    """A string literal without Huffman coding: on fast networks it costs more than it saves."""
    return _encode_integer(0, 7, len(text)) + text


def _encode_integer(first: int, prefix_bits: int, number: int) -> bytes:
    """An integer behind a prefix (RFC 7541 section 5.1); `first` holds the bits in front of it."""
    ceiling = (1 << prefix_bits) - 1
    if number < ceiling:
        return bytes((first | number,))
    parts = bytearray((first | ceiling,))
    number -= ceiling
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
