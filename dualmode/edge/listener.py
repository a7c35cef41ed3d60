"""Does: binds listening sockets, TCP and unix, and says clearly why one cannot be bound."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dualmode import limits
from dualmode.edge.address import Place
from dualmode.errors import StartError
from dualmode.urls import Url

_REASONS = {
    errno.EADDRINUSE: "the address is already in use by another process",
    errno.EACCES: "permission denied (ports below 1024 and foreign directories need rights)",
    errno.EPERM: "permission denied",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.ENOENT: "the directory does not exist",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
}


@dataclass(slots=True)
class Listener:
    """A bound, listening, non-blocking socket. `place.target` has the real port when port 0 was asked for."""

    place: Place
    sock: socket.socket
    #: Device and inode of a unix socket's file, so that only our own file is removed at the end.
    identity: tuple[int, int] | None = field(default=None)

    @property
    def address(self) -> str:
        return self.place.target.address

    def close(self) -> None:
        """Stops listening. The file of a unix socket is removed if it is still ours."""
        self.sock.close()
        if self.identity is not None and _identity(self.place.target.path) == self.identity:
            os.unlink(self.place.target.path)
        self.identity = None


def bind_all(wanted: Iterable[Place], *, reuse_port: bool = False) -> list[Listener]:
    """Binds all or none. Raises StartError naming the URL that failed."""
    listeners: list[Listener] = []
    try:
        for place in wanted:
            listeners.append(bind(place, reuse_port=reuse_port))  # noqa: PERF401 - what is bound is closed on failure
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def bind(place: Place, *, reuse_port: bool = False) -> Listener:
    """Binds one socket. SO_REUSEADDR is on: a restart need not wait for old connections to be forgotten.

    Raises StartError.
    """
    try:
        if place.target.is_unix:
            return _bind_unix(place)
        return _bind_tcp(place, reuse_port)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise StartError(f"cannot listen on {' and '.join(place.urls)}: {reason}") from error


def _bind_tcp(place: Place, reuse_port: bool) -> Listener:
    target = place.target
    family, address = _resolve(target)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # As in Go, [::] takes IPv4 as well; a concrete IPv6 address does not care.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        _listen(sock)
    except BaseException:
        sock.close()
        raise
    return Listener(replace(place, target=replace(target, port=sock.getsockname()[1])), sock)


def _resolve(target: Url) -> tuple[int, tuple[object, ...]]:
    """The one address a name stands for, IPv4 before IPv6: `localhost` is 127.0.0.1, as in Go."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartError(f"cannot listen on {target}: {target.host!r} is not known: {error.strerror}") from error
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _bind_unix(place: Place) -> Listener:
    path = place.target.path
    _remove_stale(place)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        _listen(sock)
    except BaseException:
        sock.close()
        raise
    return Listener(place, sock, _identity(path))


def _remove_stale(place: Place) -> None:
    """Removes the socket file of a process that has died: nobody answers there. Anything else is left alone."""
    path = place.target.path
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartError(f"cannot listen on {place.urls[0]}: {path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        outcome = probe.connect_ex(path)
    if outcome == errno.ECONNREFUSED:
        os.unlink(path)
    else:
        # It answered, or its queue is full, or it is not ours to judge.
        reason = errno.EACCES if outcome == errno.EACCES else errno.EADDRINUSE
        raise OSError(reason, os.strerror(reason))


def _listen(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.listen(limits.LISTEN_BACKLOG)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
