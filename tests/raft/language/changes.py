"""Decides: configuration changes in letters: `v1` voter, `l2` learner, `r3` removal, `u4` update."""

from __future__ import annotations

from dualmode.raft import ConfChangeSingle, ConfChangeType, RaftError
from tests.raft.language.cases import integer

_LETTERS = {
    "v": ConfChangeType.ADD_NODE,
    "l": ConfChangeType.ADD_LEARNER_NODE,
    "r": ConfChangeType.REMOVE_NODE,
    "u": ConfChangeType.UPDATE_NODE,
}


class CommandError(RaftError):
    """A command failed, and the text of the failure belongs to its output."""


def parse_changes(text: str) -> tuple[ConfChangeSingle, ...]:
    """Raises `CommandError` for a token that is no change."""
    changes = []
    for token in text.split(" ") if text else ():
        if len(token) < 2:
            raise CommandError(f"unknown token {token}")
        if token[0] not in _LETTERS:
            raise CommandError(f"unknown input: {token}")
        changes.append(ConfChangeSingle(_LETTERS[token[0]], integer(token[1:])))
    return tuple(changes)
