"""etcdctl on the tested server prints what it prints on etcd, command by command."""

from __future__ import annotations

import pytest

from tests.interop.ctl import Pair
from tests.interop.scenarios import Scenario, Step, load
from tests.interop.servers import DEBIAN_ETCDCTL
from tests.interop.tested import HAS_OTHERS

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("scenario", load(), ids=lambda scenario: scenario.name)
def test_commands_print_the_same(pair: Pair, scenario: Scenario) -> None:
    if scenario.needs_3_5 and pair.sides[0].program == DEBIAN_ETCDCTL:
        pytest.skip("these flags came with etcdctl 3.5")
    if HAS_OTHERS and scenario.name in ("health", "members", "status of the cluster"):
        pytest.skip("it lists every member, and here are three")
    faults = [report for step in scenario.steps if (report := step_report(pair, step))]
    if faults:
        pytest.fail("\n\n".join(faults), pytrace=False)


def step_report(pair: Pair, step: Step) -> str:
    """Empty when both outputs are equal."""
    etcd, tested = pair.run(step.command, step.stdin)
    if etcd == tested:
        return ""
    outputs = (
        f"--- {name}, exit code {it.code}\n{it.out}{it.error}" for name, it in (("etcd", etcd), ("tested", tested))
    )
    return f"etcdctl {step}\n" + "\n".join(outputs)


@pytest.mark.parametrize(
    ("command", "steps", "lines"),
    [
        ("watch a --rev={r1}", ("put a 1", "put b 1", "put a 2", "del a"), 3 * 3),
        ("watch --prefix k --rev={r3} -w json", ("put k1 1", "put k2 2", "del --prefix k"), 1),
        ("watch --prefix k --prev-kv --rev={r1}", ("put k 1", "put k 2", "del k"), 3 + 5 + 5),
        ("watch b d --rev={r3} -w fields --prev-kv", ("put b 1", "put c 1", "del b d"), 30),
        ("watch --from-key k --rev={r1}", ("put a 1", "put k 1", "put z 1"), 6),
        ("watch a --rev={r2} --progress-notify", ("put a 1", "put a 2"), 3),
        ("lease keep-alive {lease0}", ("put a 1",), 1),
    ],
)
def test_commands_that_go_on(pair: Pair, command: str, steps: tuple[str, ...], lines: int) -> None:
    if "progress-notify" in command and pair.sides[0].program == DEBIAN_ETCDCTL:
        pytest.skip("--progress-notify came with etcdctl 3.5")
    if "lease" in command:
        pair.run("lease grant 1000")
    etcd, tested = pair.watch(command, steps, lines)
    assert etcd.count("\n") == lines, f"the test expects other output than etcd's:\n{etcd}"
    assert tested == etcd


def test_watch_interactive(pair: Pair) -> None:
    lines = "watch a --rev={r1}\nwatch --prefix b --rev={r1} --prev-kv\n"
    etcd, tested = pair.watch("watch -i", ("put a 1", "put b1 1"), 6, stdin=lines)
    # Two watches on one stream: which of them is first with its event is open.
    assert sorted(tested.splitlines()) == sorted(etcd.splitlines())
    assert len(etcd.splitlines()) == 6


def test_watch_of_a_compacted_revision(pair: Pair) -> None:
    for step in ("put a 1", "put a 2", "put a 3", "compaction {r3}"):
        pair.run(step)
    etcd, tested = pair.run("watch a --rev={r1}")
    assert tested == etcd
    assert "compacted" in etcd.error


def test_watch_runs_a_command(pair: Pair) -> None:
    etcd, tested = pair.watch(
        "watch a --rev={r1} -- sh -c 'echo $ETCD_WATCH_VALUE at $ETCD_WATCH_REVISION'", ("put a 7",), 4
    )
    assert tested == etcd
    assert "7" in etcd
