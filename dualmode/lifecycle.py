"""Does: the life of a run: started, ready, asked to stop or stopped by itself, closed in order, and its exit code.

A mode is one async function that serves until it is cancelled, and closes in order on the way out: listeners, calls in
flight, then server, then storage. Around it stand a task that waits for signals and the words to systemd. Whatever ends
first ends the rest once: that is what etcd's select over its error channel, its stop channel and its signals does.

- SIGTERM or SIGINT: an orderly close, exit code 0. (etcd kills itself with the signal instead; supervisors that ask for
  a stop then report a failure.)
- A second one: out at once, for a close that hangs. etcd swallows it.
- An error of the mode: told in one line, exit code 1. Its first error is told; what breaks because of it is not news.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import FrameType
from typing import Final, Protocol

import trio

from dualmode import log
from dualmode.errors import DualmodeError

EXIT_ORDERLY: Final = 0
EXIT_ERROR: Final = 1

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_log = log.get("main")


class Start(Protocol):
    """What a mode gives: serves until cancelled or stopped by itself, and calls `ready` once when it serves."""

    def __call__(self, *, ready: Callable[[], None]) -> Awaitable[None]: ...


def run(start: Start, environ: Mapping[str, str] = os.environ) -> int:
    """Runs one mode to its end and gives the exit code. Everything that goes wrong has been told when it returns."""
    life = _Life(start, environ.get("NOTIFY_SOCKET", ""))
    try:
        trio.run(life.live)
    except BaseException as error:
        return _report(first_error(error))
    return EXIT_ORDERLY


def first_error(error: BaseException) -> BaseException:
    """The one error to tell: the first in a group that is not a cancellation."""
    while isinstance(error, BaseExceptionGroup):
        inner = [one for one in error.exceptions if not isinstance(one, trio.Cancelled)]
        error = (inner or error.exceptions)[0]
    return error


def _report(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error  # a ^C before there was anything to close
    if isinstance(error, DualmodeError):
        _log.critical(str(error))
    elif isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        _log.critical(f"{named}{error.strerror}")
    else:
        _log.critical("ended by a fault of ours", exc_info=error)
    return EXIT_ERROR


class _Life:
    """One run of one mode."""

    def __init__(self, start: Start, notify_socket: str) -> None:
        self._start = start
        self._notify_socket = notify_socket
        self._told: set[str] = set()

    async def live(self) -> None:
        """Until the mode has ended, by itself or because a signal cancelled it."""
        try:
            with trio.open_signal_receiver(*_SIGNALS) as signals:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._await_signal, signals, nursery.cancel_scope)
                    await self._start(ready=lambda: self._tell("READY=1"))
                    nursery.cancel_scope.cancel()
        finally:
            self._tell("STOPPING=1")

    async def _await_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        number = await anext(signals)
        _log.info("received signal; shutting down", signal=signal.Signals(number).name)
        self._tell("STOPPING=1")
        for each in _SIGNALS:
            # Straight from the interpreter, since what hangs may be the loop. The receiver puts the old ones back.
            signal.signal(each, _leave_at_once)
        scope.cancel()

    def _tell(self, state: str) -> None:
        """systemd, once."""
        if state in self._told or not self._notify_socket:
            return
        self._told.add(state)
        if fault := notify_systemd(self._notify_socket, state):
            _log.warning("failed to notify systemd", state=state, error=fault)


def notify_systemd(address: str, state: str) -> str:
    """Sends one datagram as sd_notify(3) has it; `@` begins an abstract address. Gives what failed, or an empty text:
    a supervisor that does not listen is no reason to stop."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    os.write(2, b"second signal: leaving at once, nothing more is put in order\n")
    os._exit(EXIT_ERROR)
