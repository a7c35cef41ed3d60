"""The YAML file: etcd's keys and groups; strict where etcd looks away."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualmode.config.yaml_file import parse_file


def _given(text: str) -> dict[str, str]:
    reading = parse_file(textwrap.dedent(text), "f.yml")
    assert reading.faults == []
    return {one.option.name: one.text for one in reading.given}


def test_scalars_and_lists() -> None:
    text = """
        name: m1
        snapshot-count: 5000
        strict-reconfig-check: False
        pre-vote: 'true'
        log-outputs: [stderr, /var/log/x]
        listen-client-urls: http://localhost:1,http://localhost:2
        heartbeat-interval: 1_00
        quota-backend-bytes: -1
        max-txn-ops: 0x10
    """
    assert _given(text) == {
        "name": "m1",
        "snapshot-count": "5000",
        "strict-reconfig-check": "false",
        "pre-vote": "true",
        "log-outputs": "stderr,/var/log/x",
        "listen-client-urls": "http://localhost:1,http://localhost:2",
        "heartbeat-interval": "100",
        "quota-backend-bytes": "-1",
        "max-txn-ops": "0x10",
    }


def test_durations_are_text_or_nanoseconds() -> None:
    assert _given("grpc-keepalive-interval: 600000000000") == {"grpc-keepalive-interval": "600000000000ns"}
    assert _given("grpc-keepalive-interval: 10m") == {"grpc-keepalive-interval": "10m"}


def test_groups() -> None:
    text = """
        client-transport-security:
          cert-file: a.pem
          client-cert-auth: true
        peer-transport-security: {cert-file: b.pem, allowed-cn: [x, y]}
        socket-options:
          reuse-port: true
    """
    assert _given(text) == {
        "cert-file": "a.pem",
        "client-cert-auth": "true",
        "peer-cert-file": "b.pem",
        "peer-cert-allowed-cn": "x,y",
        "socket-reuse-port": "true",
    }


def test_flat_names_of_grouped_options_work_too() -> None:
    assert _given("peer-cert-file: b.pem") == {"peer-cert-file": "b.pem"}


@pytest.mark.parametrize("text", ["", "# nothing", "wal-dir:", "client-transport-security:", "name: null", "name: ~"])
def test_nothing_is_given(text: str) -> None:
    assert _given(text) == {}


def test_sources_have_lines() -> None:
    reading = parse_file("name: a\nclient-transport-security:\n  key-file: k\n", "c/f.yml")
    assert [str(one.source) for one in reading.given] == [
        "c/f.yml line 1, name",
        "c/f.yml line 3, client-transport-security.key-file",
    ]
    assert {one.source.kind for one in reading.given} == {"file"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nmae: a", "f.yml line 1, nmae: unknown key, did you mean name?"),
        ("name: a\nname: b", "f.yml line 2, name: stands in line 1 already"),
        ("client-transport-security: {cert-fiel: a}",
         "f.yml line 1, client-transport-security.cert-fiel: unknown key, did you mean cert-file?"),
        ("client-transport-security: a", "f.yml line 1, client-transport-security: expected a group of keys"),
        ("name: {a: b}", "f.yml line 1, name: expected a text, not a nested value"),
        ("name: [[a]]", "f.yml line 1, name: expected a text, not a nested value"),
        ("[a]: b", "f.yml line 1, ?: unknown key"),
        ("- a", "f.yml: expected keys and values (name: default)"),
        ("a", "f.yml: expected keys and values (name: default)"),
        ("name: a: b", "f.yml: not YAML: line 1: mapping values are not allowed here"),
        ("name: *x", "f.yml: not YAML: line 1: found undefined alias 'x'"),
        ("a: b\n--- \nc: d", "f.yml: not YAML: line 2: but found another document"),
        ("[" * 5000, "f.yml: nested too deeply"),
        ("name: \x01", "f.yml: not YAML: unacceptable character #x0001: special characters are not allowed"),
    ],
)  # fmt: skip
def test_faults(text: str, fault: str) -> None:
    reading = parse_file(text, "f.yml")
    assert reading.given == [] or fault.endswith("already")
    assert reading.faults == [fault]


def test_all_faults_at_once() -> None:
    assert len(parse_file("a: 1\nb: 2\nclient-transport-security: {c: 3}\n", "f.yml").faults) == 3


def test_a_document_that_refers_to_itself_ends() -> None:
    assert len(parse_file("&a name: *a", "f.yml").faults + parse_file("name: &a [*a]", "f.yml").faults) >= 1


@given(st.text(alphabet="name: -[]{}&*#'\"\n\t|>?!%@0a\x00\ud7ff", max_size=40))
def test_any_text_is_read_or_told(text: str) -> None:
    reading = parse_file(text, "f.yml")
    assert all(fault.startswith("f.yml") for fault in reading.faults)
