"""The same random work on a server of its own and in a namespace of one with other keys: equal answers, and the other
keys are as they were."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.differential.afresh import start_afresh
from tests.differential.json_transport import JsonTransport
from tests.differential.namespaced import NamespacedRun
from tests.differential.transport import GrpcTransport
from tests.interop.grpc_client import Client
from tests.interop.servers import Server, start_proxy

pytestmark = pytest.mark.interop

OPERATIONS = 600
#: Ends in 0xff, as no text does: what lies behind it is not one byte higher.
PREFIX = b"n\xff"
NEIGHBOURS = (b"\0", b"a", b"n", b"n\xfe", b"n\xfe\xff", b"o", b"o\0", b"z", b"\xff", b"\xff\xff")


def foreign(client: Client) -> list[tuple[bytes, bytes, int]]:
    """Key, value and version of all that is outside."""
    kvs = client.Range(key=b"\0", range_end=b"\0").kvs
    return [(kv.key, kv.value, kv.version) for kv in kvs if not kv.key.startswith(PREFIX)]


@pytest.mark.parametrize(
    ("behind", "way", "share_watches", "seed"),
    [
        ("other_etcd", GrpcTransport, False, 31),
        ("other_etcd", GrpcTransport, False, 32),
        ("dualmode", GrpcTransport, False, 33),
        ("other_etcd", JsonTransport, True, 34),
        ("dualmode", JsonTransport, True, 35),
    ],
)
def test_a_namespace_answers_as_a_server_of_ones_own(
    etcd: Server,
    behind: str,
    way: type[GrpcTransport] | type[JsonTransport],
    share_watches: bool,
    seed: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    member: Server = request.getfixturevalue(behind)
    # bytes that are no text, as a shell hands them over
    flags = (f"--namespace={PREFIX.decode(errors='surrogateescape')}", f"--share-watches={str(share_watches).lower()}")
    with (
        Client(member.target) as outside,
        start_proxy(tmp_path, member.url, flags=flags) as proxy,
        contextlib.closing(way(etcd.target)) as left,
        contextlib.closing(way(proxy.target)) as right,
    ):
        for key in NEIGHBOURS:
            outside.Put(key=key, value=b"foreign")
        before = foreign(outside)
        assert len(before) == len(NEIGHBOURS)
        report = NamespacedRun(left, right, seed, start_afresh(left.client, right.client)).draw(OPERATIONS)
        if report.difference is not None:
            tail = "\n".join(line[:300] for line in list(report.history_lines())[-10:])
            pytest.fail(f"{report.difference}\n\nthe last operations:\n{tail}", pytrace=False)
        assert len(report.history) >= OPERATIONS
        start_afresh(left.client, right.client)  # auth is off again
        assert foreign(outside) == before
        outside.DeleteRange(key=b"\0", range_end=b"\0")
