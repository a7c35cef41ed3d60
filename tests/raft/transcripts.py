"""Does: replay transcript files and say where they first differ.

    python -m tests.raft.transcripts FOLDER

prints a line per failing file, then `N passed, N failed`; the exit code is 1 if any failed.

    python -m tests.raft.transcripts --rewrite FOLDER

writes what the commands produce now into the files. Read the difference before you believe it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from dualmode.raft import BrokenInvariant
from tests.raft.language import confchange, interaction, quorum
from tests.raft.language.cases import Case, TranscriptError, read_cases, rewrite


class Session(Protocol):
    def run(self, case: Case) -> str: ...


_KINDS: dict[str, type[Session]] = {
    "interaction": interaction.Session,
    "quorum": quorum.Session,
    "confchange": confchange.Session,
}
_COMMANDS_OF_KIND = {
    "committed": "quorum",
    "vote": "quorum",
    "simple": "confchange",
    "enter-joint": "confchange",
    "leave-joint": "confchange",
}
_NOT_TRANSCRIPTS = ("README", "NOTICE", "LICENSE", "LICENCE", ".")


def transcript_files(folder: Path) -> list[Path]:
    """Every transcript in a folder and its sub-folders, in order; a file stands for itself."""
    if folder.is_file():
        return [folder]
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(_NOT_TRANSCRIPTS)]


def kind_of(path: Path, cases: Sequence[Case]) -> str:
    """By the commands, which differ between the kinds; a folder name decides where there are none that tell."""
    for case in cases:
        if case.command in _COMMANDS_OF_KIND:
            return _COMMANDS_OF_KIND[case.command]
    return path.parent.name if path.parent.name in _KINDS else "interaction"


def replay(path: Path, cases: Sequence[Case]) -> Iterator[str]:
    """The output of each case in turn."""
    session = _KINDS[kind_of(path, cases)]()
    for case in cases:
        output = session.run(case)
        yield output if not output or output.endswith("\n") else f"{output}\n"


def first_difference(path: Path) -> str | None:
    """Replay a file. Returns a description of the first difference, or None."""
    try:
        cases = read_cases(read_text(path))
    except (TranscriptError, UnicodeDecodeError) as error:
        return f"{path}: {error}"
    outputs = replay(path, cases)
    for case in cases:
        try:
            output = next(outputs)
        except (TranscriptError, BrokenInvariant, AssertionError, ValueError, LookupError) as error:
            return f"{path}:{case.line}: {case.command}: {type(error).__name__}: {error}"
        if output != case.expected:
            return f"{path}:{case.line}: {case.command}: {_describe(case.expected, output)}"
    return None


def _describe(expected: str, output: str) -> str:
    wanted, got = expected.splitlines(), output.splitlines()
    for number in range(max(len(wanted), len(got))):
        left = wanted[number] if number < len(wanted) else None
        right = got[number] if number < len(got) else None
        if left != right:
            return f"output line {number + 1}: expected {left!r}, got {right!r}"
    return f"expected {expected!r}, got {output!r}"


def read_text(path: Path) -> str:
    """The file as it is: what ends its lines matters."""
    return path.read_bytes().decode("utf-8")


def rewrite_file(path: Path) -> None:
    text = read_text(path)
    cases = read_cases(text)
    path.write_text(rewrite(text, cases, list(replay(path, cases))), encoding="utf-8", newline="")


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[:-1] not in ([], ["--rewrite"]):
        print("usage: python -m tests.raft.transcripts [--rewrite] FOLDER", file=sys.stderr)
        return 2
    files = transcript_files(Path(arguments[-1]))
    if arguments[0] == "--rewrite":
        for path in files:
            rewrite_file(path)
    differences = [difference for path in files if (difference := first_difference(path)) is not None]
    for difference in differences:
        print(difference)
    print(f"{len(files) - len(differences)} passed, {len(differences)} failed")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
