"""Decides: how operations are written down, one a line, so that a difference can be played again.

    Put key: "a" value: "1"
    WatchCreate@2 key: "a" watch_id: 7
    Range!alice key: "a"

The number is that of a watch stream, the name that of the user whose token goes along. The message is in protobuf's
text format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from google.protobuf import text_format

from dualmode.api import etcdserverpb
from tests.differential.methods import METHODS
from tests.differential.operation import Operation

_STREAM_REQUESTS: Final = {
    "WatchCreate": etcdserverpb.WatchCreateRequest,
    "WatchCancel": etcdserverpb.WatchCancelRequest,
    "WatchProgress": etcdserverpb.WatchProgressRequest,
}


def line_of(operation: Operation) -> str:
    text = text_format.MessageToString(operation.request, as_one_line=True)
    stream = f"@{operation.stream}" if operation.stream else ""
    user = f"!{operation.user}" if operation.user else ""
    return f"{operation.method}{stream}{user} {text}".rstrip()


def operation_of(line: str) -> Operation:
    """Raises ValueError for a line that `line_of` does not write."""
    head, _, text = line.strip().partition(" ")
    place, _, user = head.partition("!")
    method, _, stream = place.partition("@")
    try:
        message: Any = (_STREAM_REQUESTS.get(method) or METHODS[method].request)()
    except KeyError:
        raise ValueError(f"no such operation: {method!r}") from None
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise ValueError(f"{method}: {error}") from None
    return Operation(method, message, int(stream or 0), user)


def parse(lines: Iterable[str]) -> Iterator[Operation]:
    """Empty lines and those that begin with # say nothing."""
    return (operation_of(line) for line in lines if line.strip() and not line.startswith("#"))
