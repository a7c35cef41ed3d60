"""Environment variables: etcd's, ours, and those that are nobody's."""

from __future__ import annotations

from dualmode.config.environment import read_environment


def _strongest(environ: dict[str, str]) -> dict[str, str]:
    return {one.option.name: one.text for one in read_environment(environ).given}


def test_ours_beat_etcds() -> None:
    assert _strongest({"ETCD_NAME": "a", "DUALMODE_NAME": "b"}) == {"name": "b"}
    assert _strongest({"ETCD_NAME": "a"}) == {"name": "a"}


def test_the_later_spelling_beats_the_earlier() -> None:
    environ = {"ETCD_CORRUPT_CHECK_TIME": "2s", "ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME": "1s"}
    assert _strongest(environ) == {"corrupt-check-time": "2s"}


def test_empty_counts_as_none() -> None:
    assert _strongest({"ETCD_NAME": ""}) == {}
    assert _strongest({"ETCD_NAME": "a", "DUALMODE_NAME": ""}) == {"name": "a"}


def test_sources_are_the_variables() -> None:
    (one,) = read_environment({"ETCD_DATA_DIR": "/d"}).given
    assert (one.source.kind, str(one.source)) == ("environment", "ETCD_DATA_DIR")


def test_unknown_ones_are_noticed_and_nothing_more() -> None:
    reading = read_environment(
        {"ETCD_NAEM": "a", "ETCD_SERVICE_HOST": "h", "DUALMODE_QQQ": "", "HOME": "/", "ETCDCTL_API": "3"}
    )
    assert reading.given == []
    assert reading.faults == []
    assert reading.notices == [
        "DUALMODE_QQQ: unrecognized environment variable",
        "ETCD_NAEM: unrecognized environment variable, did you mean ETCD_NAME?",
        "ETCD_SERVICE_HOST: unrecognized environment variable",
    ]


def test_variables_that_etcd_reads_elsewhere_are_known() -> None:
    assert read_environment({"ETCD_UNSUPPORTED_ARCH": "arm64"}).notices == []
