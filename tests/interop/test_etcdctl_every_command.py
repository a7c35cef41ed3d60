"""Every command that etcdctl 3.5.1 and Debian's 3.4 know runs on the tested server and on etcd, side by side.

Most are in scenarios.txt and test_auth.py; here are those that need more than a line, and the proof that none is left.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential.afresh import can_change_members
from tests.interop.conftest import Farm, open_pair
from tests.interop.ctl import Pair, Side
from tests.interop.grpc_client import connect
from tests.interop.processes import environment
from tests.interop.servers import DEBIAN_ETCDCTL, ETCDCTL
from tests.interop.tested import HAS_OTHERS

pytestmark = pytest.mark.interop

#: They never speak to a server.
OF_THE_CLIENT = {
    "completion bash": "prints a script",
    "completion fish": "prints a script",
    "completion powershell": "prints a script",
    "completion zsh": "prints a script",
    "migrate": "turns v2 files of a stopped server into v3",
}
#: `check perf` takes a minute, whatever it is told.
HAS_TIME = bool(os.environ.get("INTEROP_SLOW"))
_LEASE = re.compile(r"\b[0-9a-f]{15,16}\b")


@pytest.fixture(scope="module", params=["plain", "etcdctl-3.4"])
def shared(request: pytest.FixtureRequest, farm: Farm) -> Iterator[Pair]:
    with open_pair(farm, request.param) as pair:
        yield pair


@pytest.fixture
def both(shared: Pair) -> Pair:
    shared.reset()
    return shared


def commands_of(program: Path) -> list[str]:
    """What `etcdctl help` lists."""
    told = subprocess.run([program, "help"], capture_output=True, text=True, env=environment() | {"ETCDCTL_API": "3"})
    block = told.stdout.split("COMMANDS:")[1].split("OPTIONS:")[0]
    return [re.split(r"\t|\s{2,}", line.strip())[0] for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("program", [ETCDCTL, DEBIAN_ETCDCTL], ids=["3.5.1", "3.4"])
def test_no_command_is_left_out(program: Path) -> None:
    if not program.exists():
        pytest.skip(f"no {program}: Debian's etcd-client is not installed")
    here = Path(__file__).parent
    text = "\n".join((here / name).read_text() for name in ("scenarios.txt", "test_auth.py", "test_etcdctl.py"))
    text += Path(__file__).read_text()

    def is_typed(command: str) -> bool:
        return re.search(rf"(?:^|[\"'])(?:--user \S+ )?{re.escape(command)}\b", text, re.MULTILINE) is not None

    commands = commands_of(program)
    assert len(commands) > 40
    assert [command for command in commands if command not in OF_THE_CLIENT and not is_typed(command)] == []


@pytest.mark.parametrize(
    "command",
    [
        "help",
        "version",
        "defrag",
        "defrag --cluster",
        "move-leader",
        "move-leader 1234",
        "move-leader nonsense",
        "lock l true",
        "lock l echo held",
        "lock l false",
        "elect e",
        "elect",
        "make-mirror",
        "check datascale --load=nonsense",
        "check perf --load=nonsense",
        "snapshot save",
        "snapshot status",
    ],
)
def test_commands_that_are_done_at_once(both: Pair, command: str) -> None:
    if HAS_OTHERS and "--cluster" in command:
        pytest.skip("it lists every member, and here are three")
    etcd, tested = both.run(command)
    assert tested.code == etcd.code
    assert _LEASE.sub("<lease>", tested.out) == _LEASE.sub("<lease>", etcd.out)
    assert tested.error == etcd.error


@pytest.mark.parametrize(
    "command",
    [
        "member add",
        "member add a",
        "member add a --peer-urls=nonsense",
        "member add a --peer-urls=http://127.0.0.1:9 --learner",
        "member remove 1234",
        "member remove nonsense",
        "member update 1234 --peer-urls=http://127.0.0.1:9",
        "member update 1234",
        "member promote 1234",
    ],
)
def test_member_commands(both: Pair, command: str) -> None:
    if not all(can_change_members(side.client) for side in both.sides):
        pytest.skip("the tested server has no calls that change members")
    if HAS_OTHERS and "--learner" in command:
        pytest.skip("it lists every member, and here are three")
    etcd, tested = both.run(command)
    assert (tested.code, _ids_out(tested.out), tested.error) == (etcd.code, _ids_out(etcd.out), etcd.error)
    if "--learner" in command:
        for side in both.sides:
            (learner,) = (it for it in side.client.MemberList().members if it.isLearner)
            taken = subprocess.run(side.command(f"member remove {learner.ID:x}"), capture_output=True, check=True)
            assert b"removed" in taken.stdout


def _ids_out(text: str) -> str:
    """Members stand in the order of their ids, which are every server's own."""
    parts = re.split(r"(ETCD_INITIAL_CLUSTER=)(\".*?\")", _LEASE.sub("<id>", text))
    return "".join(str(sorted(part.strip('"').split(","))) if part.startswith('"') else part for part in parts)


def test_a_lock_is_held_until_the_command_is_told_to_go(both: Pair) -> None:
    """Prints the key; a second one waits for it."""
    for side in both.sides:
        first = side.start("lock l")
        assert first.stdout is not None
        key = first.stdout.readline()
        assert _LEASE.sub("<lease>", key) == "l/<lease>\n"
        second = side.start("lock l echo held")
        until(lambda: len(side.client.Range(key=b"l/", range_end=b"l0").kvs) == 2)  # noqa: B023 - called at once
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=20)
        out, error = second.communicate(timeout=20)
        assert out == "held\n", error
        assert not side.client.Range(key=b"l/", range_end=b"l0").kvs


def test_an_election(both: Pair) -> None:
    """One campaigns, one listens."""
    outputs = []
    for side in both.sides:
        leader = side.start("elect e me")
        assert leader.stdout is not None
        told = [leader.stdout.readline(), leader.stdout.readline()]
        listener = side.start("elect -l e")
        assert listener.stdout is not None
        told += [listener.stdout.readline(), listener.stdout.readline()]
        for child in (listener, leader):
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=20)
        outputs.append([_LEASE.sub("<lease>", line) for line in told])
    assert outputs[1] == outputs[0] == ["e/<lease>\n", "me\n"] * 2


def test_a_mirror(both: Pair, farm: Farm) -> None:
    """Keys that are there, and those that come, appear on another server with another prefix in place of theirs."""
    target = farm.etcd(purpose="mirrors")
    few = {b"k1": b"1", b"k2": b"2"}
    for number, side in enumerate(both.sides):
        prefix = f"{side.program.parent.name}{number}/"
        for key, value in few.items():
            side.client.Put(key=key, value=value)
        mirror = side.start(
            f"make-mirror --prefix k --dest-prefix {prefix} --dest-insecure-transport=true {target.target}"
        )
        try:
            with connect(target) as client:
                end = prefix[:-1].encode() + b"0"

                def mirrored() -> dict[bytes, bytes]:
                    found = client.Range(key=prefix.encode(), range_end=end).kvs  # noqa: B023 - called at once
                    return {kv.key.removeprefix(prefix.encode()): kv.value for kv in found}  # noqa: B023

                until(lambda: len(mirrored()) == 2)
                side.client.Put(key=b"k3", value=b"3")
                side.client.DeleteRange(key=b"k1")
                until(lambda: mirrored() == {b"2": b"2", b"3": b"3"})
        finally:
            mirror.kill()
            mirror.communicate()


def test_snapshots(both: Pair, tmp_path: Path) -> None:
    """Saved, looked at and restored by etcdctl."""
    for number, side in enumerate(both.sides):
        side.client.Put(key=b"a", value=b"1")
        file = tmp_path / f"{number}.db"
        for command in (
            f"snapshot save {file}",
            f"snapshot status {file} -w json",
            f"snapshot restore {file} --data-dir={tmp_path / str(number)}",
        ):
            done = subprocess.run(
                side.command(command), capture_output=True, text=True, env=environment() | {"ETCDCTL_API": "3"}
            )
            assert done.returncode == 0, done.stderr
        assert (tmp_path / str(number) / "member" / "snap" / "db").exists()


def test_check_datascale(both: Pair) -> None:
    """10,000 keys; how much memory that took is every server's own."""
    codes = [_check(side, "check datascale --load=s --auto-compact=true") for side in both.sides]
    assert all("Approximate system memory used" in out for _, out in codes), codes
    assert [code for code, _ in codes] == [0, 0]


@pytest.mark.skipif(not HAS_TIME, reason="takes a minute for each server: INTEROP_SLOW=1 runs it")
def test_check_perf(both: Pair) -> None:
    codes = [_check(side, "check perf --load=s --auto-compact=true") for side in both.sides]
    assert all("PASS: Throughput" in out for _, out in codes), codes


def _check(side: Side, command: str) -> tuple[int, str]:
    # `check datascale` asks /metrics of the first endpoint, and wants it without a scheme in some versions.
    done = subprocess.run(
        [str(side.program), f"--endpoints={side.server.url}", *shlex.split(command)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment() | {"ETCDCTL_API": "3"},
    )
    return done.returncode, done.stdout + done.stderr


def until(condition: object, timeout_seconds: float = 15.0) -> None:
    """Asks again and again; fails the test when it takes too long."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "time is up"
        time.sleep(0.02)  # between two questions
