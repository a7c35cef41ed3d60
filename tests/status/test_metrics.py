"""The metrics page, read by prometheus-client's own parser."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from dualmode.api import etcdserverpb as pb
from dualmode.errors import Code
from dualmode.metrics import Histogram
from dualmode.rpc.calls import Kind, Method
from dualmode.rpc.table import MethodTable
from dualmode.status.catalogue import FAMILIES
from dualmode.status.families import Family, number_text, render
from dualmode.status.metrics import MetricsPage
from dualmode.status.process_metrics import ProcessPage, process_bindings
from dualmode.status.rpc_metrics import rpc_bindings


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_counter_and_its_text() -> None:
    family = Family("etcd_mvcc_put_total", "counter", "Puts.")
    assert render(family, 3).splitlines() == [
        "# HELP etcd_mvcc_put_total Puts.",
        "# TYPE etcd_mvcc_put_total counter",
        "etcd_mvcc_put_total 3",
    ]


def test_a_counter_without_total() -> None:
    assert "# TYPE etcd_server_health_success counter\netcd_server_health_success 1\n" in render(
        FAMILIES["etcd_server_health_success"], 1
    )


def test_a_histogram() -> None:
    histogram = Histogram([0.001, 0.5])
    for value in (0.0001, 0.25, 7):
        histogram.observe(value)
    read = samples(render(Family("a_seconds", "histogram", "A.", ("To",)), {("b",): histogram}))
    label = ("To", "b")
    assert read == {
        ("a_seconds_bucket", (label, ("le", "0.001"))): 1,
        ("a_seconds_bucket", (label, ("le", "0.5"))): 2,
        ("a_seconds_bucket", (label, ("le", "+Inf"))): 3,
        ("a_seconds_sum", (label,)): 7.2501,
        ("a_seconds_count", (label,)): 3,
    }


#: Without what the parser takes for line ends beside the line feed.
LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.just("\n"))


@given(LABELS, LABELS, st.floats() | st.integers(-(1 << 70), 1 << 70))
def test_any_label_and_number_is_read_back(one: str, other: str, value: float) -> None:
    text = render(Family("a", "gauge", "A.", ("one", "other")), {(one, other): value})
    [((name, labels), number)] = samples(text).items()
    assert name == "a"
    assert dict(labels) == {"one": one, "other": other}
    assert float(number) == float(value) or (math.isnan(number) and math.isnan(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1 << 60, str(1 << 60)),
        (1.0, "1"),
        (0.25, "0.25"),
        (-math.inf, "-Inf"),
        (math.inf, "+Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number_text(value) == text


def nothing(*_: Any) -> None:
    pass


def test_the_counters_of_methods_are_there_from_the_start() -> None:
    table = MethodTable([Method("etcdserverpb.KV", "Put", Kind.UNARY, pb.PutRequest, pb.PutResponse, nothing)])
    page = MetricsPage()
    page.bind(rpc_bindings(table))
    labels = (("grpc_method", "Put"), ("grpc_service", "etcdserverpb.KV"), ("grpc_type", "unary"))
    read = samples(page.answer().body.decode())
    assert len(read) == 5 + len(Code)
    assert set(read.values()) == {0}
    counters = next(iter(table.entries.values())).counters
    counters.started = 5
    counters.ok = 3
    counters.ended(Code.NOT_FOUND)
    counters.ended(Code.OK)
    counters.received_bytes = 12
    counters.sent_bytes = 34
    read = samples(page.answer().body.decode())
    assert read["grpc_server_started_total", labels] == 5
    assert read["grpc_server_msg_sent_total", labels] == 4
    assert read["etcd_network_client_grpc_received_bytes_total", ()] == 12
    assert read["etcd_network_client_grpc_sent_bytes_total", ()] == 34
    code = [("grpc_code", "NotFound"), *labels]
    assert read["grpc_server_handled_total", tuple(sorted(code))] == 1


def test_names_are_known_and_bound_once() -> None:
    page = MetricsPage()
    page.bind({"etcd_mvcc_put_total": lambda: 1})
    with pytest.raises(AssertionError, match="twice"):
        page.bind({"etcd_mvcc_put_total": lambda: 1})
    with pytest.raises(AssertionError, match="not in the catalogue"):
        page.bind({"etcd_mvcc_putt_total": lambda: 1})


def test_what_is_not_bound_is_not_shown() -> None:
    page = MetricsPage()
    assert page.answer().body == b""
    assert page.answer().content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_the_process_is_on_the_page() -> None:
    page = MetricsPage(ProcessPage().render)
    page.bind(process_bindings())
    read = samples(page.answer().body.decode())
    assert read["os_fd_used", ()] > 2
    assert read["os_fd_limit", ()] >= read["os_fd_used", ()]
    assert read["process_resident_memory_bytes", ()] > 1e6


def test_every_family_has_a_kind_and_a_help_of_one_line() -> None:
    for name, family in FAMILIES.items():
        assert family.name == name
        assert family.kind in {"counter", "gauge", "histogram"}
        assert family.help
        assert "\n" not in family.help
        assert "\\" not in family.help
