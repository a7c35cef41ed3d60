"""Decides: the answers of plain HTTP routes, in the words of Go's net/http, which etcd's monitors expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from dualmode import limits
from dualmode.http.interface import Fields, Pairs, RequestHead

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; the engine adds content-length where HTTP wants it."""

    status: int
    body: bytes
    content_type: str = TEXT
    more: Pairs = ()

    @property
    def head(self) -> Fields:
        return Fields(
            (b":status", str(self.status).encode()), (b"content-type", self.content_type.encode()), *self.more
        )


def http_error(status: int, text: str, *more: tuple[bytes, bytes]) -> Answer:
    """As http.Error: the text, a line end, and no guessing of types."""
    return Answer(status, text.encode() + b"\n", TEXT, (_NO_SNIFFING, *more))


def not_allowed(*methods: bytes) -> Answer:
    """405, with what is allowed."""
    return http_error(405, "Method Not Allowed", (b"allow", b", ".join(methods)))


Query = Mapping[str, Sequence[str]]


def query_of(head: RequestHead) -> Query:
    """The query of a request target; more parameters than anybody needs are no query."""
    text = head.path.partition(b"?")[2].decode("latin-1")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=limits.QUERY_FIELDS)
    except ValueError:
        return {}
