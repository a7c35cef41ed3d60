"""The life of a run: signals, first errors, words to systemd, exit codes. Signals are real, to this process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import structlog
import trio

from dualmode import lifecycle
from dualmode.errors import StartError, StorageError

Ready = Callable[[], None]


class Systemd:
    """Listens as systemd does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        heard = []
        while True:
            try:
                heard.append(self._socket.recv(100).decode())
            except BlockingIOError:
                return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    name = f"@dualmode-test-{os.getpid()}"
    listener = Systemd(str(tmp_path / "notify") if request.param == "file" else name)
    yield listener
    listener.close()


def _run(start: Callable[[Ready], Awaitable[None]], notify: str = "") -> tuple[int, list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as lines:
        code = lifecycle.run(lambda *, ready: start(ready), {"NOTIFY_SOCKET": notify})
    return code, lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_in_order(number: signal.Signals) -> None:
    closed = []

    async def start(ready: Ready) -> None:
        ready()
        os.kill(os.getpid(), number)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            closed.append(True)

    before = signal.getsignal(number)
    code, lines = _run(start)
    assert (code, closed) == (0, [True])
    assert [(line["event"], line["signal"]) for line in lines] == [("received signal; shutting down", number.name)]
    assert signal.getsignal(number) == before


def test_a_mode_that_stops_by_itself() -> None:
    async def start(ready: Ready) -> None:
        ready()

    assert _run(start) == (0, [])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StartError("no port"), "no port"),
        (StorageError("bad log"), "bad log"),
        (OSError(98, "Address already in use"), "Address already in use"),
        (FileNotFoundError(2, "No such file or directory", "/a"), "/a: No such file or directory"),
    ],
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    async def start(ready: Ready) -> None:
        raise error

    code, lines = _run(start)
    assert code == 1
    assert lines == [{"event": line, "log_level": "critical"}]


def test_a_fault_of_ours_has_its_traceback() -> None:
    async def start(ready: Ready) -> None:
        raise ZeroDivisionError

    code, (line,) = _run(start)
    assert code == 1
    assert isinstance(line["exc_info"], ZeroDivisionError)


def test_the_first_error_of_several_is_told_once() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("because of the first")

    async def start(ready: Ready) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(fail, StorageError("first"))

    code, lines = _run(start)
    assert code == 1
    assert [line["event"] for line in lines] == ["first"]


def test_an_error_while_closing_is_told() -> None:
    async def start(ready: Ready) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await trio.sleep_forever()
        finally:
            raise StorageError("flush failed")

    code, lines = _run(start)
    assert code == 1
    assert lines[-1]["event"] == "flush failed"


def test_systemd_hears_both_words_once(systemd: Systemd) -> None:
    heard_while_running = []

    async def start(ready: Ready) -> None:
        ready()
        ready()
        heard_while_running.extend(systemd.heard())
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()

    assert _run(start, systemd.address)[0] == 0
    assert heard_while_running == ["READY=1"]
    assert systemd.heard() == ["STOPPING=1"]


def test_systemd_hears_of_a_mode_that_fails_before_it_is_ready(systemd: Systemd) -> None:
    async def start(ready: Ready) -> None:
        raise StartError("x")

    assert _run(start, systemd.address)[0] == 1
    assert systemd.heard() == ["STOPPING=1"]


def test_a_supervisor_that_does_not_listen_is_no_reason_to_stop(tmp_path: Path) -> None:
    async def start(ready: Ready) -> None:
        ready()

    code, lines = _run(start, str(tmp_path / "nobody"))
    assert code == 0
    assert [line["state"] for line in lines] == ["READY=1", "STOPPING=1"]


def test_a_second_signal_ends_at_once_even_when_the_loop_hangs() -> None:
    program = """
import os, signal, time, trio
from dualmode import lifecycle
async def start(*, ready):
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await trio.sleep_forever()
    finally:
        print("closing", flush=True)
        time.sleep(60)  # a loop that hangs
os._exit(lifecycle.run(start, {}))
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert child.stdout is not None
        while b"closing" not in (line := child.stdout.readline()):
            assert line
        child.send_signal(signal.SIGTERM)
        _, stderr = child.communicate(timeout=10)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 1
    assert b"second signal: leaving at once" in stderr


def test_an_interrupt_before_anything_runs_is_the_callers() -> None:
    async def start(ready: Ready) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(start)


def test_first_error() -> None:
    inner = ValueError("a")
    assert lifecycle.first_error(inner) is inner
    assert lifecycle.first_error(ExceptionGroup("g", [ExceptionGroup("h", [inner, TypeError()])])) is inner
