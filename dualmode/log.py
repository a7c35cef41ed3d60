"""Does: the program's log: one line an event, JSON with the field names of etcd's, or text for eyes.

    from dualmode import log
    _log = log.get("member")
    _log.info("ready to serve client requests", address="127.0.0.1:2379")

`configure` is called once, by `main`. Who embeds parts of this package configures structlog as they like instead.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, MutableMapping, Sequence
from types import FrameType
from typing import Any, Final, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from dualmode.errors import StartError

#: etcd's names of levels (zap's). Ours never panics by logging, so the last three are thresholds only.
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
#: structlog's method names, as zap spells the level.
_LEVEL_OF_METHOD: Final = {"warning": "warn", "exception": "error", "critical": "fatal"}
#: Under systemd, what goes to stderr is in the journal.
_STDERR_NAMES: Final = frozenset({"default", "stderr", "systemd/journal"})


def get(name: str) -> FilteringBoundLogger:
    """The logger of one part of the program; may be taken at import, before `configure`."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


#: For callers that need no name of their own.
log: Final = get("server")


def configure(level: str = "info", form: str = "json", outputs: Sequence[str] = ("stderr",)) -> None:
    """Decides for the rest of the process which lines are written, how (`json` or `console`), and where to.

    `outputs` are stderr, stdout or paths of files, which are appended to. Raises StartError for a file that cannot be.
    """
    streams = _open(outputs)
    render: Callable[..., str] = to_json
    if form == "console":
        render = _console(has_colours=all(stream.isatty() for stream in streams))
    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda name="": _Lines(streams, name),
        cache_logger_on_first_use=True,
    )


def to_json(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """One event as a line of JSON: level, ts, logger, caller, msg, then its own fields in the order of the call."""
    line = {
        "level": _LEVEL_OF_METHOD.get(method, method),
        "ts": timestamp(time.time()),
        "logger": logger.name,
        "caller": caller(sys._getframe()),
        "msg": event.pop("event"),
    }
    failure = _failure(event.pop("exc_info", None))
    line.update(event)
    if failure is not None:
        line.setdefault("error", f"{type(failure).__name__}: {failure}")
        line["stacktrace"] = "".join(traceback.format_exception(failure))
    return json.dumps(line, default=_to_text, ensure_ascii=False, separators=(",", ":"))


def timestamp(seconds: float) -> str:
    """ISO 8601 in local time with milliseconds and zone, as zap writes it: 2026-11-24T06:10:00.123+0100, or Z."""
    milliseconds = int(seconds * 1000)
    local = time.localtime(milliseconds // 1000)
    zone = time.strftime("%z", local) if local.tm_gmtoff else "Z"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{milliseconds % 1000:03}{zone}"


def caller(frame: FrameType | None) -> str:
    """`directory/file.py:line` of the nearest frame that is neither structlog's nor this module's."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module != __name__ and not module.startswith("structlog"):
            return f"{'/'.join(frame.f_code.co_filename.split('/')[-2:])}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _failure(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def _to_text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _console(has_colours: bool) -> Callable[..., str]:
    renderer = structlog.dev.ConsoleRenderer(colors=has_colours)

    def render(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        event["level"] = _LEVEL_OF_METHOD.get(method, method)
        event["logger"] = logger.name
        event["timestamp"] = timestamp(time.time())
        return renderer(logger, method, event)

    return render


def _open(outputs: Sequence[str]) -> list[TextIO]:
    streams: list[TextIO] = []
    for output in dict.fromkeys("stderr" if name in _STDERR_NAMES else name for name in outputs):
        if output == "stderr":
            streams.append(sys.stderr)
        elif output == "stdout":
            streams.append(sys.stdout)
        else:
            try:
                # Appending, so that logrotate's copytruncate works without a word to us.
                streams.append(open(output, "a", encoding="utf-8"))  # noqa: SIM115  (open until the process ends)
            except OSError as error:
                raise StartError(f"cannot open {output!r} of --log-outputs: {error.strerror}") from error
    return streams


class _Lines:
    """Where rendered lines go; structlog calls the method of the level. A log that cannot be written is no reason to
    stop a server: a closed pipe or a full disk loses lines, nothing else."""

    def __init__(self, streams: Sequence[TextIO], name: str) -> None:
        self.name = name
        self._streams = streams

    def msg(self, line: str) -> None:
        for stream in self._streams:
            try:
                stream.write(line + "\n")
                stream.flush()
            except (OSError, ValueError):
                continue

    debug = info = warning = error = critical = exception = msg
