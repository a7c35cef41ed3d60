"""Keys and intervals under a prefix: what is asked for inside is the same question at the member."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualmode.errors import RpcError
from dualmode.proxy.namespace.key_space import KeySpace, end_of

#: Few bytes, so that keys, ends and prefixes meet.
BYTES = st.lists(st.sampled_from(b"\x00\x01an\xfe\xff"), max_size=4).map(bytes)
PREFIXES = BYTES.filter(bool)


def contains(key: bytes, range_end: bytes, candidate: bytes) -> bool:
    """As etcd reads an interval."""
    if not range_end:
        return candidate == key
    return candidate >= key and (range_end == b"\0" or candidate < range_end)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        (b"a", b"b"),
        (b"ns/", b"ns0"),
        (b"a\xff", b"b"),
        (b"a\xff\xff", b"b"),
        (b"\xff", b"\0"),
        (b"\xff\xff", b"\0"),
        (b"\0", b"\1"),
    ],
)
def test_the_end_of_a_prefix(prefix: bytes, end: bytes) -> None:
    assert end_of(prefix) == end


@given(PREFIXES, BYTES)
def test_the_end_of_a_prefix_is_behind_all_that_have_it_and_nothing_else(prefix: bytes, key: bytes) -> None:
    assert contains(prefix, end_of(prefix), key) == key.startswith(prefix)
    assert contains(prefix, end_of(prefix), prefix + key)


@given(PREFIXES, BYTES, BYTES, BYTES)
@example(b"a\xff", b"\0", b"\0", b"b")
def test_an_interval_holds_the_same_keys_inside_and_none_outside(
    prefix: bytes, key: bytes, range_end: bytes, candidate: bytes
) -> None:
    space = KeySpace(prefix)
    at_member = space.key_at_member(key), space.end_at_member(range_end)
    assert contains(*at_member, prefix + candidate) == contains(key, range_end, candidate)
    if not candidate.startswith(prefix):
        assert not contains(*at_member, candidate)


@given(PREFIXES, BYTES, BYTES)
def test_an_interval_comes_back_as_it_went(prefix: bytes, key: bytes, range_end: bytes) -> None:
    space = KeySpace(prefix)
    at_member = space.key_at_member(key), space.end_at_member(range_end)
    assert space.interval_for_client(*at_member) == (key, range_end)
    assert space.key_for_client(at_member[0]) == key


@given(PREFIXES, BYTES, BYTES, BYTES)
@example(b"n", b"n", b"n\0", b"a")
@example(b"n", b"n", b"n", b"a")
def test_a_members_interval_is_shown_if_a_client_can_name_it(
    prefix: bytes, key: bytes, range_end: bytes, candidate: bytes
) -> None:
    space = KeySpace(prefix)
    shown = space.interval_for_client(key, range_end)
    if shown is None:
        return
    assert (space.key_at_member(shown[0]), space.end_at_member(shown[1])) == (key, range_end)
    assert contains(*shown, candidate) == contains(key, range_end, prefix + candidate)


@given(PREFIXES, BYTES)
def test_a_key_outside_is_never_shown(prefix: bytes, key: bytes) -> None:
    space = KeySpace(prefix)
    if key.startswith(prefix):
        assert space.key_at_member(space.key_for_client(key)) == key
    else:
        with pytest.raises(RpcError, match="outside the namespace"):
            space.key_for_client(key)
        assert space.interval_for_client(key, end_of(prefix)) is None
