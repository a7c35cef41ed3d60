"""Does: child processes that serve on loopback; started, waited for, logged, and always stopped by their pid.

Nothing here knows what it starts: servers.py has the command lines.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

READY_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 15.0
#: Below Linux' ephemeral range (32768 and up), so that no outgoing connection takes a port between probe and bind.
PORTS = range(12_000, 32_000)
LOG_TAIL_CHARACTERS = 1500

Probe = Callable[[], bool]

#: For failure_logs.py.
RUNNING: set[ServerProcess] = set()


class ServerFailedError(Exception):
    """The child ended or did not answer in time; the text holds its command line and the end of its log."""


def free_port() -> int:
    """A port that nobody listens on. Drawn at random, so that test workers side by side rarely meet;
    `ServerProcess.start` covers the rest by drawing again."""
    draw = random.SystemRandom()
    while True:
        port = draw.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def answers_http(host: str, port: int, path: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether GET `path` is answered with 200 now."""
    connection: http.client.HTTPConnection
    if context is None:
        connection = http.client.HTTPConnection(host, port, timeout=2.0)
    else:
        connection = http.client.HTTPSConnection(host, port, timeout=2.0, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class ServerProcess:
    """One child process: `command` is what runs, `is_ready` tells whether it serves, `directory` takes its log.

    A context manager: leaving it stops the child. A test that fails shows `log_tail()`.
    """

    def __init__(self, name: str, command: list[str], directory: Path, is_ready: Probe) -> None:
        self.name = name
        self.command = command
        self.log_path = directory / f"{name}.log"
        self._is_ready = is_ready
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    def start(self) -> None:
        """Returns once the server answers; raises `ServerFailedError` otherwise."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Starts the child without waiting for it."""
        assert self._child is None, f"{self.name} runs already"
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment()
            )
        atexit.register(self.kill)
        RUNNING.add(self)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not self._is_ready():
            assert self._child is not None
            code = self._child.poll()
            if code is not None:
                self._forget()
                raise ServerFailedError(f"{self.name} ended with {code} before it served\n{self.describe()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailedError(f"{self.name} did not serve in {READY_TIMEOUT_SECONDS} s\n{self.describe()}")
            time.sleep(0.02)  # between two probes; the loop is bounded by the deadline above

    def stop(self) -> int | None:
        """SIGTERM, then SIGKILL when that is not obeyed in time; the exit code (negative: a signal)."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int | None:
        """SIGKILL: what a crash looks like."""
        return self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int | None:
        if self._child is None:
            return None
        child = self._child
        child.send_signal(how)
        try:
            code = child.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        self._forget()
        return code

    def _forget(self) -> None:
        self._child = None
        atexit.unregister(self.kill)
        RUNNING.discard(self)

    def describe(self) -> str:
        return f"command: {' '.join(self.command)}\nlog: ...{self.log_tail()}"

    def log_tail(self) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return text[-LOG_TAIL_CHARACTERS:]

    def __enter__(self) -> ServerProcess:
        if self._child is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def environment() -> dict[str, str]:
    """Ours without etcd's and dualmode's variables: a developer's ETCD_NAME must not change what is tested."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("ETCD_", "ETCDCTL_", "DUALMODE_"))
    }


@contextlib.contextmanager
def all_stopped(*servers: ServerProcess) -> Iterator[None]:
    """Launches all, waits for all, stops all in the opposite order."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.launch()
        for server in servers:
            server.wait_ready()
        yield
