"""The program as a process: exit codes, what is imported, what is left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.processes import environment

PROGRAM = [sys.executable, "-m", "dualmode"]
#: A member that only says when it is ready; the real ones are tested by tests/interop.
FAKE_MEMBER = """
import sys, types
import trio

fake = types.ModuleType("dualmode.member.start")
async def run(settings, *, ready):
    ready()
    print("ready", flush=True)
    try:
        await trio.sleep_forever()
    finally:
        print("closed", flush=True)
fake.run = run
sys.modules["dualmode.member.start"] = fake
from dualmode.main import console
console()
"""


def _run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, env=_environment(), capture_output=True, text=True, timeout=30, check=False
    )


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return environment() | {"PYTHONPATH": str(root)}


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", FAKE_MEMBER, "member"],
        cwd=tmp_path,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["config"], 0),
        (["--nmae=x"], 2),
        (["config", "--nmae=x"], 2),
        (["certs", "show", "/nonexistent"], 2),
        (["--data-dir=/dev/null/x"], 1),
    ],
)
def test_exit_codes(arguments: list[str], code: int, tmp_path: Path) -> None:
    done = _run(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--nmae=x"], ["version"]])
def test_what_starts_nothing_imports_little(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\nfrom dualmode.main import main\n"
        f"main({arguments!r}, {{}})\n"
        "print(sorted({'trio', 'structlog', 'click', 'rich', 'yaml', 'cryptography', 'google'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_ends_in_order(number: signal.Signals, child: subprocess.Popen[str], tmp_path: Path) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (0, "closed\n")
    assert [json.loads(line)["msg"] for line in err.splitlines()] == ["received signal; shutting down"]
    assert list(tmp_path.iterdir()) == []  # a data dir is made by the mode, once its ports are bound


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = _run(
            "member", f"--listen-client-urls={url}", f"--advertise-client-urls={url}", "--log-level=error", cwd=tmp_path
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["level"] == "fatal"
    assert url in json.loads(line)["msg"]


def test_a_reader_that_has_gone_is_no_error_with_a_traceback(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [*PROGRAM, "config"], cwd=tmp_path, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    stderr = child.stderr.read()
    assert child.wait(30) == 1
    assert b"Traceback" not in stderr
    child.stderr.close()


def test_the_program_is_installed() -> None:
    assert os.access(Path(sys.executable).with_name("dualmode"), os.X_OK)


@pytest.mark.parametrize("mode", ["member", "proxy"])
def test_a_port_in_use_leaves_nothing_behind(tmp_path: Path, mode: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        flags = ["--data-dir", "new", "--listen-client-urls", url, "--advertise-client-urls", url]
        ended = _run(mode, *flags, "--endpoints", "http://127.0.0.1:1", cwd=tmp_path)
    assert ended.returncode == 1
    assert "the address is already in use" in ended.stderr
    assert list(tmp_path.iterdir()) == []
