"""JSON objects one after the other, cut anywhere."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.errors import Code, RpcError
from dualmode.rpc.json_split import JsonSplitter

LIMIT = 1000
VALUES = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.sampled_from(['"', "\\", "}", "{", "]\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def drain(splitter: JsonSplitter) -> list[bytes]:
    return list(iter(splitter.take, None))


@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), max_size=4), st.data())
def test_objects_come_out_whatever_the_cuts(objects: list[object], data: st.DataObject) -> None:
    space = data.draw(st.sampled_from(["", "\n", " \r\n\t "]))
    wire = space + space.join(json.dumps(value, ensure_ascii=data.draw(st.booleans())) for value in objects) + space
    rest = wire.encode()
    splitter = JsonSplitter(LIMIT)
    received = []
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        splitter.feed(rest[:cut])
        rest = rest[cut:]
        received += drain(splitter)
    splitter.check_end()
    assert [json.loads(text) for text in received] == objects


def test_every_cut_of_two_objects() -> None:
    wire = rb'{"a\\":["}\"",{}]} {"b":"\u007d"}'
    for cut in range(len(wire) + 1):
        splitter = JsonSplitter(LIMIT)
        splitter.feed(wire[:cut])
        received = drain(splitter)
        splitter.feed(wire[cut:])
        assert received + drain(splitter) == [rb'{"a\\":["}\"",{}]}', rb'{"b":"\u007d"}'], cut
        assert splitter.buffered_bytes == 0


def test_many_small_objects_cost_no_more_than_their_bytes() -> None:
    """Taking one must not copy the rest: with a window full of them that would hold the loop for minutes."""
    count = 300_000
    splitter = JsonSplitter(LIMIT)
    splitter.feed(b" {}\n" * count)
    started = time.process_time()
    assert len(drain(splitter)) == count
    assert time.process_time() - started < 10


@pytest.mark.parametrize("wire", [b"[1]", b"5", b"null", b'"{}"', b"}", b",{}"])
def test_only_objects(wire: bytes) -> None:
    splitter = JsonSplitter(LIMIT)
    splitter.feed(wire)
    with pytest.raises(RpcError, match="an object is expected"):
        splitter.take()


def test_an_end_within_an_object() -> None:
    splitter = JsonSplitter(LIMIT)
    splitter.feed(b'{"a":1')
    assert splitter.take() is None
    with pytest.raises(RpcError, match="unexpected EOF"):
        splitter.check_end()


@pytest.mark.parametrize("wire", [b'{"a":"' + b"x" * LIMIT, b'{"a":"' + b"x" * LIMIT + b'"}'])
def test_an_object_without_end_is_refused(wire: bytes) -> None:
    splitter = JsonSplitter(LIMIT)
    splitter.feed(wire)
    with pytest.raises(RpcError) as caught:
        splitter.take()
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
