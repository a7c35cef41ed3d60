"""A pass sees the backend with its own writes on top."""

from hypothesis import given
from hypothesis import strategies as st

from dualmode.storage.mvcc.pending import merge

KEYS = st.binary(max_size=2)


@given(st.dictionaries(KEYS, st.binary(max_size=1)), st.dictionaries(KEYS, st.one_of(st.none(), st.binary(max_size=1))))
def test_merge_is_the_dictionary_update(stored: dict[bytes, bytes], written: dict[bytes, bytes | None]) -> None:
    merged = list(merge(iter(sorted(stored.items())), sorted(written), written))
    expected = {key: value for key, value in {**stored, **written}.items() if value is not None}
    assert merged == sorted(expected.items())
