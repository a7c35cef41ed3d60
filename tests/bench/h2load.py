"""Does: runs h2load (nghttp2) and reads what it printed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.http2_client import Header
from tests.bench.workloads import Shape, Workload

PROGRAM: Final = shutil.which("h2load")
RUN_TIMEOUT_SECONDS: Final = 60.0
_FINISHED: Final = re.compile(r"finished in ([\d.]+)(us|ms|s|m),")
_REQUESTS: Final = re.compile(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed")
_TRAFFIC: Final = re.compile(r"traffic: .*\((\d+)\) data")
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


_HEADERS: Final = {
    False: ("-H", "content-type: application/grpc", "-H", "te: trailers"),
    True: ("--h1", "-H", "content-type: application/json"),  # etcd has JSON on HTTP/1.1 only, where there is no TLS
}


class LoadFailedError(Exception):
    """Not every request succeeded; the text is what the loader printed."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run did: `data_bytes` are those of response bodies, latencies are sorted."""

    requests: int
    seconds: float
    data_bytes: int
    latencies_microseconds: list[int]


def version() -> str:
    assert PROGRAM is not None
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def run(
    url: str, workload: Workload, shape: Shape, requests: int, directory: Path, headers: Sequence[Header] = ()
) -> Load:
    """`directory` is this run's own. Raises `LoadFailedError` when a single request did not get a 200."""
    assert PROGRAM is not None
    directory.mkdir(exist_ok=True)
    body, log = directory / "body", directory / "latencies"
    body.write_bytes(workload.body)
    log.unlink(missing_ok=True)  # h2load appends
    command = [
        *(PROGRAM, f"-n{requests}", f"-c{shape.connections}", f"-m{shape.streams}", f"-d{body}", f"--log-file={log}"),
        *_HEADERS[bool(workload.json_path)],
        *(part for name, value in headers for part in ("-H", f"{name.decode()}: {value.decode()}")),
        url + workload.path,
    ]
    output = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_SECONDS, check=False).stdout
    try:
        return _load(output, requests, log)
    except (AssertionError, TypeError) as error:
        raise LoadFailedError(f"{' '.join(command)}\n{error}\n{output}") from None


def _load(output: str, requests: int, log: Path) -> Load:
    finished, counts, traffic = (pattern.search(output) for pattern in (_FINISHED, _REQUESTS, _TRAFFIC))
    assert finished is not None, "h2load did not finish"
    assert counts is not None
    assert traffic is not None
    assert (int(counts[2]), int(counts[3])) == (requests, 0), f"{counts[2]} of {requests} succeeded"
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    assert all(status == "200" for _, status, _ in lines), "a status other than 200"
    seconds = float(finished[1]) * _UNITS[finished[2]]
    return Load(requests, seconds, int(traffic[1]), sorted(int(took) for _, _, took in lines))
