"""Decides: the commands of quorum transcripts: `committed` and `vote`, each on a configuration of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dualmode.raft import NO_LIMIT, quorum
from tests.raft.language.cases import Case, TranscriptError, integer

_VOTES = {"y": True, "n": False}


class Session:
    """Every case stands alone."""

    def run(self, case: Case) -> str:
        incoming: list[int] = []
        outgoing: list[int] | None = None
        known: list[str] = []
        for argument in case.arguments:
            if argument.key == "cfg":
                incoming = [integer(value) for value in argument.values]
            elif argument.key == "cfgj":
                outgoing = [] if argument.values == ("zero",) else [integer(value) for value in argument.values]
            elif argument.key in ("idx", "votes"):
                known = list(argument.values)
            else:
                raise TranscriptError(f"unknown argument {argument.key}")
        voters = list(dict.fromkeys(incoming + (outgoing or [])))
        if len(known) != len(voters):
            return f"error: mismatched input for voters {voters}: {known}"
        values = {voter: value for voter, value in zip(voters, known, strict=True) if value != "_"}
        if case.command == "vote":
            return _vote(incoming, outgoing, {voter: _VOTES[value] for voter, value in values.items()})
        if case.command == "committed":
            return _committed(incoming, outgoing, {voter: integer(value) for voter, value in values.items()})
        return "unknown command"


def _vote(incoming: list[int], outgoing: list[int] | None, votes: Mapping[int, bool]) -> str:
    result = quorum.joint_vote(incoming, outgoing or [], votes)
    text = f"{result.printed}\n"
    if outgoing is None:
        text += _unequal("with itself", quorum.joint_vote(incoming, incoming, votes), result)
        text += _unequal("alone", quorum.majority_vote(incoming, votes), result)
    else:
        text += _unequal("with halves exchanged", quorum.joint_vote(outgoing, incoming, votes), result)
    return text


def _committed(incoming: list[int], outgoing: list[int] | None, indexes: Mapping[int, int]) -> str:
    if 0 in indexes.values():
        raise TranscriptError("0 is not allowed as an index")
    result = quorum.joint_committed(incoming, outgoing or [], indexes)
    text = commit_table(incoming + (outgoing or []), indexes) + f"{_index(result)}\n"
    if outgoing is None:
        text += _unequal("with itself", quorum.joint_committed(incoming, incoming, indexes), result)
        text += _unequal("alone", quorum.majority_committed(incoming, indexes), result)
    else:
        text += _unequal("with halves exchanged", quorum.joint_committed(outgoing, incoming, indexes), result)
    for voter, index in indexes.items():
        if index < result:
            for lower in (index - 1, 0):
                lowered = quorum.joint_committed(incoming, outgoing or [], {**indexes, voter: lower})
                text += _unequal(f"with {voter} at {lower}", lowered, result)
    return text


def _unequal(what: str, other: int, result: int) -> str:
    """A line that no transcript has, where two ways to the same result differ."""
    return "" if other == result else f"{other} {what}, not {result}\n"


def _index(index: int) -> str:
    return "\u221e" if index == NO_LIMIT else str(index)


def commit_table(voters: Sequence[int], indexes: Mapping[int, int]) -> str:
    """A row per voter whose bar shows how many others it is ahead of."""
    ids = sorted(set(voters))
    if not ids:
        return "<empty majority quorum>"
    count = len(ids)
    lengths: dict[int, int] = {}
    ordered = sorted(ids, key=lambda voter: (indexes.get(voter, 0), voter))
    for position, voter in enumerate(ordered):
        if position and indexes.get(voter, 0) == indexes.get(ordered[position - 1], 0):
            lengths[voter] = lengths[ordered[position - 1]]
        else:
            lengths[voter] = position
    lines = [" " * count + "    idx"]
    for voter in ids:
        known = voter in indexes
        length = lengths[voter]
        bar = "x" * length + ">" + " " * (count - length) if known else "?" + " " * count
        lines.append(f"{bar} {indexes.get(voter, 0):>5}    (id={voter:x})")
    return "".join(f"{line}\n" for line in lines)
