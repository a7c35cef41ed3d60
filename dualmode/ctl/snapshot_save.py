"""Does: takes a snapshot of a running member over the network into a file, and proves it by its hash.

The file appears under its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

import trio

from dualmode.api import etcdserverpb
from dualmode.client.channel import Channel, open_channel
from dualmode.client.status import CallError
from dualmode.edge.tls import ClientTlsSettings
from dualmode.errors import StorageError


def save_snapshot(
    file: Path, endpoint: str, cacert: str, cert: str, key: str, insecure_skip_verify: bool, user: str
) -> int:
    """Gives the number of bytes. `user` is `name:password`, or empty. Raises StorageError, StartError."""
    tls = ClientTlsSettings(cacert, cert, key, insecure_skip_verify=insecure_skip_verify)
    default_scheme = "https" if cacert or cert or insecure_skip_verify else "http"
    url = endpoint if "://" in endpoint else f"{default_scheme}://{endpoint}"
    part = file.with_name(file.name + ".part")
    try:
        with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "r+b") as stream:
            size = trio.run(_save, url, tls, user, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.rename(file)
    except OSError as error:
        raise StorageError(f"could not write {part}: {error.strerror}") from error
    except CallError as error:
        raise StorageError(f"cannot take a snapshot from {url}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return size


async def _save(url: str, tls: ClientTlsSettings, user: str, file: IO[bytes]) -> int:
    try:
        async with open_channel(url, tls) as channel:
            return await _receive(channel, await _token(channel, user), file)
    except BaseExceptionGroup as group:
        while len(group.exceptions) == 1:
            only = group.exceptions[0]
            if not isinstance(only, BaseExceptionGroup):
                raise only from None
            group = only
        raise


async def _receive(channel: Channel, token: str, file: IO[bytes]) -> int:
    """The last 32 bytes are the hash of all before them; they stay in the file, for whoever restores it."""
    metadata = [("token", token)] if token else []
    digest = hashlib.sha256()
    size = 0
    held = b""  # the blob received last: the hash, if it is the last one
    remaining = None
    with await channel.stream("/etcdserverpb.Maintenance/Snapshot", metadata) as stream:
        await stream.send(b"")
        await stream.close_send()
        while (message := await stream.receive()) is not None:
            answer = etcdserverpb.SnapshotResponse.FromString(message)
            digest.update(held)
            held = answer.blob
            remaining = answer.remaining_bytes
            size += len(held)
            file.write(held)
    if remaining != 0 or digest.digest() != held:
        raise StorageError("the snapshot did not arrive whole: its hash does not fit")
    return size


async def _token(channel: Channel, user: str) -> str:
    if not user:
        return ""
    name, _, password = user.partition(":")
    request = etcdserverpb.AuthenticateRequest(name=name, password=password)
    answer = await channel.unary("/etcdserverpb.Auth/Authenticate", request.SerializeToString(), timeout=5)
    return str(etcdserverpb.AuthenticateResponse.FromString(answer).token)
