"""`snapshot save` against a server that sends what the test says (grpcio's, so that nothing of ours judges itself)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from dualmode.api import etcdserverpb as pb
from dualmode.ctl.snapshot_save import save_snapshot
from dualmode.errors import StorageError

DATA = bytes(range(256)) * 400
BLOBS = [DATA[start : start + 32768] for start in range(0, len(DATA), 32768)]


class Server:
    """Answers Snapshot with `answers`, then with `error`; `token` is what the client must show."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.error: str | None = None
        self.token: str | None = None
        self._server = grpc.server(ThreadPoolExecutor(2))
        handlers = {
            "Snapshot": grpc.unary_stream_rpc_method_handler(
                self._snapshot, pb.SnapshotRequest.FromString, pb.SnapshotResponse.SerializeToString
            )
        }
        login = {
            "Authenticate": grpc.unary_unary_rpc_method_handler(
                self._login, pb.AuthenticateRequest.FromString, pb.AuthenticateResponse.SerializeToString
            )
        }
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", handlers),
                grpc.method_handlers_generic_handler("etcdserverpb.Auth", login),
            )
        )
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _snapshot(self, request: Any, context: Any) -> Iterator[Any]:
        if self.token is not None and ("token", self.token) not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")
        yield from self.answers
        if self.error:
            context.abort(grpc.StatusCode.UNAVAILABLE, self.error)

    def _login(self, request: Any, context: Any) -> Any:
        return pb.AuthenticateResponse(token=f"{request.name}:{request.password}")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def answers(*blobs: bytes) -> list[Any]:
    left = [sum(map(len, blobs[number + 1 :])) for number in range(len(blobs))]
    return [pb.SnapshotResponse(remaining_bytes=rest, blob=blob) for rest, blob in zip(left, blobs, strict=True)]


@pytest.fixture
def save(server: Server, tmp_path: Path) -> Callable[..., int]:
    return lambda user="": save_snapshot(tmp_path / "s.db", server.endpoint, "", "", "", False, user)


def test_what_was_sent_is_in_the_file(server: Server, save: Callable[..., int], tmp_path: Path) -> None:
    digest = hashlib.sha256(DATA).digest()
    server.answers = [*answers(*BLOBS), pb.SnapshotResponse(blob=digest)]
    assert save() == len(DATA) + 32
    assert (tmp_path / "s.db").read_bytes() == DATA + digest
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_a_user_logs_in_first(server: Server, save: Callable[..., int]) -> None:
    server.token = "root:a:b"
    server.answers = [*answers(DATA), pb.SnapshotResponse(blob=hashlib.sha256(DATA).digest())]
    assert save("root:a:b") == len(DATA) + 32
    with pytest.raises(StorageError, match="invalid auth token"):
        save()


@pytest.mark.parametrize(
    "sent",
    [
        [],
        answers(*BLOBS)[:-1],
        answers(*BLOBS),
        [*answers(*BLOBS), pb.SnapshotResponse(blob=bytes(32))],
        [*answers(*BLOBS[1:]), pb.SnapshotResponse(blob=hashlib.sha256(DATA).digest())],
    ],
)
def test_what_does_not_arrive_whole_is_no_snapshot(
    server: Server, save: Callable[..., int], tmp_path: Path, sent: list[Any]
) -> None:
    server.answers = sent
    with pytest.raises(StorageError, match="did not arrive whole"):
        save()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_server_is_told(server: Server, save: Callable[..., int], tmp_path: Path) -> None:
    server.answers, server.error = answers(*BLOBS)[:2], "went away"
    with pytest.raises(StorageError, match=r"cannot take a snapshot from http://127\.0\.0\.1:\d+: .*went away"):
        save()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"could not write .*: No such file or directory"):
        save_snapshot(tmp_path / "nowhere" / "s.db", server.endpoint, "", "", "", False, "")
