"""Does: connects to a remote, and tells whose fault it was when that failed.

A remote that cannot be connected is left alone for a while; that must not happen to one when it is our own process, or
this machine, that has run out of descriptors.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

import trio

from dualmode.errors import PeerError
from dualmode.proxy.tcp.remotes import Remote

#: Ours: no descriptor, no memory, or no port of our own left.
SHORTAGES: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)


async def dial(remote: Remote, timeout_seconds: float) -> trio.SocketStream:
    """Gives a connected stream. Names are looked up every time: what they stand for may change.

    Raises PeerError when the remote cannot be connected, OSError when it is not its fault.
    """
    url = remote.url
    try:
        with trio.fail_after(timeout_seconds):
            if url.is_unix:
                return await trio.open_unix_socket(url.path)
            return await trio.open_tcp_stream(url.host, url.port)
    except trio.TooSlowError:
        raise PeerError(f"no answer within {timeout_seconds:g} s") from None
    except OSError as error:
        faults = list(_single(error))
        for fault in faults:
            if fault.errno in SHORTAGES:
                raise fault from None
        raise PeerError("; ".join(dict.fromkeys(map(_text, faults)))) from None


def _text(fault: OSError) -> str:
    """Without the address, which trio puts in front and the caller knows. Numbers below 0 are of name resolution."""
    if fault.errno is not None and fault.errno > 0:
        return os.strerror(fault.errno)
    return fault.strerror or str(fault)


def _single(error: OSError) -> Iterator[OSError]:
    """trio tries all addresses of a name, and puts what failed into a group behind its own error."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        yield from (one for one in cause.exceptions if isinstance(one, OSError))
    else:
        yield cause if isinstance(cause, OSError) else error
