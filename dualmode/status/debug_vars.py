"""Does: /debug/vars, the little of Go's expvar page that means something here."""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping, Sequence
from typing import Any

from dualmode.status.answers import JSON, Answer


def debug_vars(command_line: Sequence[str], raft_status: Mapping[str, Any]) -> Answer:
    """The command line as it was given, descriptors, memory, and where Raft is."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    body = {
        "cmdline": list(command_line),
        "file_descriptor_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "memstats": {"MaxResidentKiB": usage.ru_maxrss},
        "raft.status": dict(raft_status),
    }
    return Answer(200, json.dumps(body).encode() + b"\n", JSON + "; charset=utf-8")
