"""Does: prepares what varied requests need: the keys that they read, and the answers by which success is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.bench import scripts
from tests.bench.h2load import LoadFailedError
from tests.bench.measure import Bench, put_all
from tests.bench.results import Sample
from tests.bench.scripts import Script
from tests.bench.workloads import SPAN_KEYS, VALUE, Shape
from tests.interop.grpc_client import Client

FIELD_KEYS: Final = 20_000
PAGED_KEYS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Varied:
    """A row whose requests vary, in all shapes; `check` raises when the server does not hold what it has to then."""

    name: str
    prepare: Callable[[Client], Script]
    bar: float | None
    check: Callable[[Client], None] = lambda client: None

    def sample(self, bench: Bench, shape: Shape, seconds: float) -> Sample:
        sample = bench.scripted(self.name, self.prepare, shape, seconds)
        self.check(bench.target.client)
        return sample


def _fill(client: Client, prefix: bytes, count: int) -> list[bytes]:
    keys = [prefix + b"%06d" % number for number in range(count)]
    put_all(client, keys)
    return keys


def _changing_intervals(client: Client) -> Script:
    _fill(client, b"field/", FIELD_KEYS)
    return scripts.changing_intervals(client.Range(key=b"field/", range_end=b"field0"))


def _written_between(client: Client) -> Script:
    keys = _fill(client, b"mixed/", SPAN_KEYS)
    put = client.Put(key=keys[0], value=VALUE)
    return scripts.written_between(keys, b"mixed0", client.Range(key=keys[0], range_end=b"mixed0"), put)


def _paging(client: Client) -> Script:
    _fill(client, b"paged/", PAGED_KEYS)
    seen = 0

    def ask(request: Any) -> Any:
        nonlocal seen
        page = client.call("Range", request)
        seen += len(page.kvs)
        if page.count != PAGED_KEYS - seen + len(page.kvs):
            raise LoadFailedError(f"a page that counts {page.count} keys behind {seen - len(page.kvs)}")
        return page

    script = scripts.paging(b"paged/", b"paged0", ask)
    if seen != PAGED_KEYS:
        raise LoadFailedError(f"{seen} keys paged through, not {PAGED_KEYS}")
    return script


def _leases(client: Client) -> Script:
    grant = client.LeaseGrant(ID=scripts.FIRST_LEASE, TTL=scripts.LEASE_TTL_SECONDS)
    return scripts.leases(grant, client.LeaseRevoke(ID=scripts.FIRST_LEASE))


def _all_revoked(client: Client) -> None:
    left = sum(lease.ID >= scripts.FIRST_LEASE for lease in client.LeaseLeases().leases)
    if left:
        raise LoadFailedError(f"{left} leases were not revoked")


VARIED: Final = (
    Varied("Range of 1,000, changing intervals", _changing_intervals, 5.0),
    Varied("Range of 1,000, written between", _written_between, None),
    Varied("Paging, 100,000 keys", _paging, 3.0),
    Varied("Lease grant and revoke", _leases, None, _all_revoked),
)
