"""Does: runs one etcdctl command on two servers at once and brings both outputs to a form that can be compared.

The second server is etcd itself: what is right is what etcdctl prints there, never a text kept here.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.interop.grpc_client import Client, connect, start_afresh
from tests.interop.processes import environment
from tests.interop.servers import Server

COMMAND_TIMEOUT_SECONDS: Final = 20.0
WATCH_TIMEOUT_SECONDS: Final = 10.0

#: What differs between two servers that behave alike, and what stands in its place.
_EVERY_SERVERS_OWN: Final = (
    (re.compile(r"https?://127\.0\.0\.1:\d+"), "<url>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<url>"),
    (re.compile(r'("(?:raft_term|raftTerm|dbSize|dbSizeInUse|raftIndex|raftAppliedIndex)":)\d+'), r"\1<n>"),
    (re.compile(r'("(?:RaftTerm|DBSize|DBSizeInUse|RaftIndex|RaftAppliedIndex)" : )\d+'), r"\1<n>"),
    (re.compile(r'("ID" : )\d{12,}'), r"\1<id>"),
    (re.compile(r"\b3\.\d\.\d+\b"), "<version>"),
    (re.compile(r"\d+(?:\.\d+)? [kM]?B\b"), "<size>"),
    (re.compile(r"(<size>.*?(?:true|false), (?:true|false)), \d+, \d+, \d+"), r"\1, <term>, <index>, <index>"),
    (re.compile(r"(<size> \|\s+(?:true|false) \|\s+(?:true|false)) \|\s+\d+ \|\s+\d+ \|\s+\d+"), r"\1 | <raft>"),
    (re.compile(r"\d+(?:\.\d+)?(?:ms|µs|s)(?=[\s,\"|]|$)(?<!\))"), "<time>"),
    (re.compile(r"remaining\(\d+s\)"), "remaining(<time>)"),
    (re.compile(r'("ttl":)\d+(?=,"granted-ttl")'), r"\1<time>"),
    (re.compile(r" {2,}"), " "),
    (re.compile(r"-{2,}"), "--"),
)
#: The client's own log lines on stderr: time stamps, addresses and retries.
_CLIENT_LOG: Final = re.compile(r'^(?:\{"level":|\d{4}[/-]\d\d[/-]\d\d).*\n?', re.MULTILINE)
#: etcd lists the keys of a lease in the order of a Go map: in none.
_KEYS_OF_LEASE: Final = re.compile(r'(attached keys\(\[|"granted-ttl":\d+,"keys":\[)(.*?)\]')
_GRANTED: Final = re.compile(r"lease ([0-9a-f]+) granted")


@dataclass(frozen=True, slots=True)
class Output:
    """What a command left: exit code, standard output and error, normalised."""

    code: int
    out: str
    error: str


@dataclass
class Side:
    """One server as etcdctl sees it. `leases` collects the ids it chose, in the order they were granted."""

    program: Path
    server: Server
    client: Client
    base_revision: int = 0
    leases: list[str] = field(default_factory=list)
    ids: tuple[int, int] = (0, 0)

    def command(self, step: str) -> list[str]:
        flags = [f"--endpoints={self.server.url}"]
        if self.server.tls is not None:
            tls = self.server.tls
            flags += [f"--cacert={tls.authority}", f"--cert={tls.client_certificate}", f"--key={tls.client_key}"]
        return [str(self.program), *flags, *shlex.split(self.filled(step))]

    def filled(self, text: str) -> str:
        """`{r0}`, `{r1}` ... become revisions from the one the test began at, `{lease0}` ... leases."""
        names = {f"r{number}": str(self.base_revision + number) for number in range(30)}
        names |= {f"lease{number}": lease for number, lease in enumerate(self.leases)}
        return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], "<none>"), text)

    def start(self, step: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(step),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            env=environment() | {"ETCDCTL_API": "3"},
        )

    def normalised(self, text: str) -> str:
        self.leases.extend(lease for lease in _GRANTED.findall(text) if lease not in self.leases)
        for number, lease in enumerate(self.leases):
            text = text.replace(lease, f"<lease{number}>").replace(str(int(lease, 16)), f"<lease{number}>")
        for name, number in zip(("<member>", "<cluster>"), self.ids, strict=True):
            text = text.replace(f"{number:x}", name).replace(str(number), name)
        for pattern, replacement in _EVERY_SERVERS_OWN:
            text = pattern.sub(replacement, text)
        return _KEYS_OF_LEASE.sub(lambda match: f"{match[1]}{sorted(re.split('[ ,]', match[2]))}]", text)


class Pair:
    """etcd and the server under test. Every test gets them empty and at the same revision."""

    def __init__(self, program: Path, reference: Server, tested: Server) -> None:
        self.sides = tuple(Side(program, server, connect(server)) for server in (reference, tested))

    def reset(self) -> None:
        revision = start_afresh(*(side.client for side in self.sides))
        for side in self.sides:
            side.base_revision = revision
            side.leases.clear()
            header = side.client.Range(key=b"x").header
            side.ids = header.member_id, header.cluster_id

    def close(self) -> None:
        for side in self.sides:
            side.client.close()

    def run(self, step: str, stdin: str | None = None) -> tuple[Output, Output]:
        """The command on both servers at once: (etcd's output, the tested server's)."""
        children = [(side, side.start(step)) for side in self.sides]
        etcd, tested = (self._finish(side, child, stdin) for side, child in children)
        return etcd, tested

    @staticmethod
    def _finish(side: Side, child: subprocess.Popen[str], stdin: str | None) -> Output:
        try:
            out, error = child.communicate(None if stdin is None else side.filled(stdin), COMMAND_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            out, error = child.communicate()
            error += "\nthe command did not end in time"
        return Output(child.returncode, side.normalised(out), side.normalised(_CLIENT_LOG.sub("", error)))

    def watch(self, step: str, steps: Sequence[str], lines: int, stdin: str = "") -> tuple[str, str]:
        """Starts a command that does not end by itself, runs `steps` meanwhile, takes its first `lines` lines.

        When the command starts to listen cannot be seen from outside: watches begin at a revision ("--rev={r1}")."""
        children = [(side, side.start(step)) for side in self.sides]
        for side, child in children:
            assert child.stdin is not None
            child.stdin.write(side.filled(stdin))
            child.stdin.flush()
        for each in steps:
            self.run(each)
        etcd, tested = (self._take_lines(side, child, lines) for side, child in children)
        return etcd, tested

    @staticmethod
    def _take_lines(side: Side, child: subprocess.Popen[str], lines: int) -> str:
        taken: list[str] = []
        timer = threading.Timer(WATCH_TIMEOUT_SECONDS, child.kill)
        timer.start()
        assert child.stdout is not None
        for line in child.stdout:
            taken.append(line)
            if len(taken) == lines:
                break
        timer.cancel()
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=COMMAND_TIMEOUT_SECONDS)
        return side.normalised("".join(taken))
