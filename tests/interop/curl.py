"""Does: curl as an independent HTTP client: one request, or a stream of JSON lines."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import Any, Final

from tests.interop.servers import Server

PROGRAM: Final = shutil.which("curl")
TIMEOUT_SECONDS: Final = 10.0
#: How the request travels -> curl's flags. "h2c" is HTTP/2 without TLS by prior knowledge.
WAYS: Final = {
    "http/1.1": ("--http1.1",),
    "h2c": ("--http2-prior-knowledge",),
    "https/1.1": ("--http1.1",),
    "h2": ("--http2",),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """`version` is curl's "1.1" or "2"; header names are in lower case."""

    status: int
    version: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def command(server: Server, way: str, path: str, body: str | None, *flags: str) -> list[str]:
    assert PROGRAM is not None
    tls = server.tls
    certificates = (
        ("--cacert", str(tls.authority), "--cert", str(tls.client_certificate), "--key", str(tls.client_key))
        if tls
        else ()
    )
    data = () if body is None else ("--data-binary", body)
    return [
        PROGRAM,
        "--silent",
        "--show-error",
        "--no-buffer",
        *WAYS[way],
        *certificates,
        *data,
        *flags,
        server.url + path,
    ]


def curl(server: Server, way: str, path: str, body: Any = None, *flags: str) -> Answer:
    """`body`: None is a GET, text goes as it is, anything else as JSON."""
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    limits = ("--max-time", str(TIMEOUT_SECONDS), "--include", "--write-out", "\n%{http_code} %{http_version}")
    run = subprocess.run(command(server, way, path, text, *limits, *flags), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    output, _, summary = run.stdout.rpartition(b"\n")
    head, _, content = output.partition(b"\r\n\r\n")
    status, version = summary.decode().split()
    headers = {}
    for line in head.decode().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Answer(int(status), version, headers, content)


def curl_lines(server: Server, way: str, path: str, body: Any, count: int) -> list[Any]:
    """The first `count` lines of a streamed answer, as JSON; fewer when they do not come in time."""
    child = subprocess.Popen(command(server, way, path, json.dumps(body)), stdout=subprocess.PIPE)
    assert child.stdout is not None
    timer = threading.Timer(TIMEOUT_SECONDS, child.kill)
    timer.start()
    try:
        lines = []
        for line in child.stdout:
            lines.append(json.loads(line))
            if len(lines) == count:
                break
        return lines
    finally:
        timer.cancel()
        child.kill()
        child.communicate()
