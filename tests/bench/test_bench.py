"""What the bench computes and keeps; that it loads a real server is seen by running it (docs/testing.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.h2load import _load
from tests.bench.http2_client import Connection, StreamEndedError, frame
from tests.bench.results import ETCD, OURS, Results, Row, Sample, markdown, percentile, replace_measured
from tests.bench.workloads import WORKLOADS


def sample(cpu_microseconds: float, per_second: float = 1000.0, p50: float = 100.0) -> Sample:
    operations = 1000
    return Sample(operations, operations / per_second, cpu_microseconds * operations / 1e6, p50, 2 * p50, 3 * p50)


def row(etcd: list[float], ours: list[float], shape: str = "10x10", bar: float | None = 1.5) -> Row:
    return Row("Put", shape, bar, samples={ETCD: [sample(it) for it in etcd], OURS: [sample(it) for it in ours]})


def test_the_middle_of_an_uneven_series_counts() -> None:
    assert row([40, 60, 500], [20, 30, 10]).cpu_ratio == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (row([31], [20]), "PASS (1.5)"),
        (row([29], [20]), "FALLS SHORT (1.5)"),
        (row([29], [20], bar=None), ""),
        (row([10], [90], shape="1x1"), "PASS (p50 1.00x)"),
    ],
)
def test_bars(measured: Row, verdict: str) -> None:
    assert measured.verdict() == verdict


def test_the_slowest_of_a_hundred_has_a_verdict_of_its_own() -> None:
    fast_but_uneven = Row("Put", "100x10", 2.0, True, {ETCD: [sample(40, p50=100)], OURS: [sample(10, p50=110)]})
    assert fast_but_uneven.verdict() == "PASS (2.0), FALLS SHORT (p99 1.10x)"


def test_a_slower_answer_falls_short_at_1x1() -> None:
    slow = Row("Put", "1x1", 1.5, samples={ETCD: [sample(1, p50=100)], OURS: [sample(1, p50=101)]})
    assert slow.verdict() == "FALLS SHORT (p50 1.01x)"


def test_markdown_goes_between_the_marks_and_nowhere_else() -> None:
    results = Results({"etcd": "3.5.1"}, [row([30], [10])], {ETCD: 100.0, OURS: 50.0})
    page = "head\n<!-- measured: begin -->\nold\n<!-- measured: end -->\ntail\n"
    kept = replace_measured(page, markdown(results))
    assert kept.startswith("head\n")
    assert kept.endswith("\ntail\n")
    assert "old" not in kept
    assert "| Put | 10x10 | 30.0 | 10.0 | 3.00 |" in kept
    assert replace_measured(kept, markdown(results)) == kept
    with pytest.raises(ValueError, match="needs the lines"):
        replace_measured("no marks", "x")


def test_percentiles() -> None:
    assert (percentile([1, 2, 3, 4], 0.5), percentile([1, 2, 3, 4], 0.99), percentile([7], 0.99)) == (3, 4, 7)


H2LOAD_OUTPUT = """
finished in 103.25ms, 9685.25 req/s, 1.01MB/s
requests: 1000 total, 1000 started, 1000 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 timeout
traffic: 106.55KB (109104) total, 2.00KB (2048) headers (space savings 95.00%), 34.18KB (35000) data
"""


def test_h2load_output(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1\t200\t30\n2\t200\t10\n")
    load = _load(H2LOAD_OUTPUT.format(succeeded=1000, failed=0), 1000, log)
    assert (load.seconds, load.data_bytes, load.latencies_microseconds) == (pytest.approx(0.10325), 35000, [10, 30])
    with pytest.raises(AssertionError, match="999 of 1000"):
        _load(H2LOAD_OUTPUT.format(succeeded=999, failed=1), 1000, log)


def test_client_reads_frames_in_every_chunking() -> None:
    wire = b"".join(
        (frame(4, 0, 0), frame(1, 4, 1, b"\x88"), frame(0, 0, 1, b"abc"), frame(0, 0, 1, b"d"), frame(1, 5, 1, b"\x88"))
    )
    for size in range(1, len(wire) + 1):
        connection = Connection("localhost", "/x")
        came = [it for start in range(0, len(wire), size) for it in connection.receive(wire[start : start + size])]
        assert came == [(1, b"abc"), (1, b"d"), (1, None)]


def test_client_waits_for_the_connection_window() -> None:
    connection = Connection("localhost", "/x")
    for _ in range(10):
        connection.request(b"x" * 16_000)
    before = len(connection.output)
    assert before < 5 * 16_384  # 65,535 bytes are allowed at first
    connection.receive(frame(8, 0, 0, (1_000_000).to_bytes(4, "big")))
    assert len(connection.output) - before > 6 * 16_000


def test_client_waits_for_the_window_of_a_stream_that_stays_open() -> None:
    connection = Connection("localhost", "/x", "/y")
    connection.receive(frame(8, 0, 0, (1_000_000).to_bytes(4, "big")))
    stream = connection.request(b"x" * 16_000, end=False, path=1)
    for _ in range(9):
        connection.send(stream, b"x" * 16_000)
    before = len(connection.output)
    assert before < 5 * 16_384  # 65,535 bytes are allowed at first
    connection.receive(frame(8, 0, stream, (20_000).to_bytes(4, "big")))
    assert 16_000 < len(connection.output) - before < 2 * 16_000


def test_client_gives_windows_back() -> None:
    connection = Connection("localhost", "/x")
    connection.output.clear()
    big = frame(0, 0, 1, bytes(1 << 20))
    while not connection.output:
        connection.receive(big)
    taken = 1025 << 20  # the first that is more than 2**30
    assert connection.output == frame(8, 0, 0, taken.to_bytes(4, "big")) + frame(8, 0, 1, taken.to_bytes(4, "big"))


def test_client_has_wider_windows_when_the_settings_change() -> None:
    connection = Connection("localhost", "/x")
    connection.receive(frame(8, 0, 0, (1_000_000).to_bytes(4, "big")))
    stream = connection.request(b"", end=False)
    for _ in range(10):
        connection.send(stream, b"x" * 16_000)
    before = len(connection.output)
    connection.receive(frame(4, 0, 0, (4).to_bytes(2, "big") + (1_000_000).to_bytes(4, "big")))
    assert len(connection.output) - before > 6 * 16_000


def test_client_sends_its_headers_with_each_call() -> None:
    connection = Connection("localhost", "/x", "/y", scheme="https", headers=((b"token", b"abc"),))
    connection.request(b"", path=1)
    sent = bytes(connection.output)
    assert all(word in sent for word in (b"/y", b"https", b"token", b"abc"))
    assert b"/x" not in sent


def test_client_reports_a_reset() -> None:
    with pytest.raises(StreamEndedError):
        Connection("localhost", "/x").receive(frame(3, 0, 1, bytes(4)))


def test_bars_are_for_load_and_json_has_shapes_of_its_own() -> None:
    put, json_put = (next(one for one in WORKLOADS if one.name == name) for name in ("Put", "Put as JSON"))
    assert {str(shape): put.bar_at(shape) for shape in put.shapes} == {
        "1x100": 2.0,
        "10x10": 2.0,
        "100x1": None,
        "100x10": 2.0,
        "1000x1": None,
        "1x1": None,
    }
    assert {str(shape): json_put.bar_at(shape) for shape in json_put.shapes} == {
        "10x1": 1.0,
        "100x1": 1.0,
        "1000x1": None,
        "1x1": None,
    }
    assert json_put.body == b'{"key":"YmVuY2gtMDE=","value":"' + b"dnZ2" * 85 + b'dg=="}'
