"""What `snapshot status` prints, against lines that etcdutl 3.5.1 has printed."""

from __future__ import annotations

import pytest

from dualmode.ctl.snapshot_status import in_words, show
from dualmode.storage.bbolt.summary import Summary

SUMMARY = Summary(0x86F782B1, 7, 16, 20480)


def test_the_forms_are_those_of_etcdutl() -> None:
    assert show(SUMMARY, "simple") == "86f782b1, 7, 16, 20 kB"
    assert show(SUMMARY, "json") == '{"hash":2264367793,"revision":7,"totalKey":16,"totalSize":20480}'
    assert show(SUMMARY, "fields") == '"Hash" : 2264367793\n"Revision" : 7\n"Keys" : 16\n"Size" : 20480'
    assert show(SUMMARY, "table").splitlines() == [
        "+----------+----------+------------+------------+",
        "|   HASH   | REVISION | TOTAL KEYS | TOTAL SIZE |",
        "+----------+----------+------------+------------+",
        "| 86f782b1 |        7 |         16 |      20 kB |",
        "+----------+----------+------------+------------+",
    ]


def test_a_hash_has_no_leading_zeros_and_columns_grow() -> None:
    lines = show(Summary(0x1F, 12_345_678_901, 1, 0), "table").splitlines()
    assert lines[1] == "| HASH |  REVISION   | TOTAL KEYS | TOTAL SIZE |"
    assert lines[3] == "|   1f | 12345678901 |          1 |        0 B |"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"), (9, "9 B"), (10, "10 B"), (999, "999 B"), (1000, "1.0 kB"), (1049, "1.0 kB"), (1050, "1.1 kB"),
        (9949, "9.9 kB"), (9950, "10 kB"), (20480, "20 kB"), (999_999, "1000 kB"), (1_500_000, "1.5 MB"),
        (8 << 30, "8.6 GB"),
    ],
)  # fmt: skip
def test_sizes_in_words(size: int, words: str) -> None:
    assert in_words(size) == words
