"""Decides: how the core's things look in log lines and transcripts.

The forms are exact: transcripts are compared character for character. Ids are hexadecimal in messages and log lines,
decimal in states, snapshots and progress maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from dualmode.raft import changes, types
from dualmode.raft.progress import Progress
from dualmode.raft.tracker import Configuration

_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
_CHANGE_LETTERS: Final = "vrul"
_CHANGE_NAMES: Final = (
    "ConfChangeAddNode",
    "ConfChangeRemoveNode",
    "ConfChangeUpdateNode",
    "ConfChangeAddLearnerNode",
)
_TRANSITION_NAMES: Final = (
    "ConfChangeTransitionAuto",
    "ConfChangeTransitionJointImplicit",
    "ConfChangeTransitionJointExplicit",
)
_ENTRY_NAMES: Final = ("EntryNormal", "EntryConfChange", "EntryConfChangeV2")
_ENDPOINTS: Final = {types.NONE: "None", types.APPEND_THREAD: "AppendThread", types.APPLY_THREAD: "ApplyThread"}


def quoted(data: bytes) -> str:
    """Bytes as a double-quoted string in the style of Go's %q."""
    # Bytes that are not UTF-8 come out of the decoder as lone surrogates U+DC80..U+DCFF.
    return '"' + "".join(map(_quoted_character, data.decode("utf-8", "surrogateescape"))) + '"'


def _quoted_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def entry(item: types.Entry) -> str:
    head = f"{item.term}/{item.index} {_ENTRY_NAMES[item.type]}"
    if item.type == types.EntryType.NORMAL:
        return f"{head} {quoted(item.data)}"
    letters = change_letters(changes.decode_change(item).as_v2())
    return f"{head} {letters}" if letters else head


def entries(items: Iterable[types.Entry]) -> list[str]:
    return [entry(item) for item in items]


def change_letters(change: changes.ConfChangeV2) -> str:
    """`v1 l2 r3 u4`: voter, learner, removal, update."""
    return " ".join(f"{_CHANGE_LETTERS[single.type]}{single.node_id}" for single in change.changes)


def change(item: changes.ConfChangeV2) -> str:
    """A change as in log lines."""
    parts = [f"transition:{_TRANSITION_NAMES[item.transition]}"]
    parts += [f"changes:{{type:{_CHANGE_NAMES[single.type]} node_id:{single.node_id}}}" for single in item.changes]
    if item.context:
        parts.append(f"context:{quoted(item.context)}")
    return " ".join(parts)


def configuration(item: Configuration) -> str:
    text = f"voters=({_hex_ids(item.incoming)})"
    if item.outgoing:
        text += f"&&({_hex_ids(item.outgoing)})"
    if item.learners:
        text += f" learners=({_hex_ids(item.learners)})"
    if item.learners_next:
        text += f" learners_next=({_hex_ids(item.learners_next)})"
    return text + " autoleave" if item.auto_leave else text


def _hex_ids(ids: Iterable[int]) -> str:
    return " ".join(f"{node:x}" for node in sorted(ids))


def conf_state(item: types.ConfState) -> str:
    lists = (
        ("Voters", item.voters),
        ("VotersOutgoing", item.voters_outgoing),
        ("Learners", item.learners),
        ("LearnersNext", item.learners_next),
    )
    text = " ".join(f"{name}:[{' '.join(map(str, ids))}]" for name, ids in lists)
    return f"{text} AutoLeave:{'true' if item.auto_leave else 'false'}"


def progress(item: Progress) -> str:
    text = f"{item.state.printed} match={item.match} next={item.next}"
    if item.is_learner:
        text += " learner"
    if item.paused:
        text += " paused"
    if item.pending_snapshot:
        text += f" pendingSnap={item.pending_snapshot}"
    if not item.recently_active:
        text += " inactive"
    if len(item.inflights):
        text += f" inflight={len(item.inflights)}"
        if item.inflights.full:
            text += "[full]"
    return text


def progress_map(items: Mapping[int, Progress]) -> list[str]:
    """One line per node, ids ascending."""
    return [f"{node}: {progress(items[node])}" for node in sorted(items)]


def soft_state(item: types.SoftState) -> str:
    return f"Lead:{item.leader} State:{item.state.printed}"


def hard_state(item: types.HardState) -> str:
    vote = f" Vote:{item.vote}" if item.vote else ""
    return f"Term:{item.term}{vote} Commit:{item.commit}"


def snapshot(item: types.Snapshot) -> str:
    metadata = item.metadata
    return f"Index:{metadata.index} Term:{metadata.term} ConfState:{conf_state(metadata.conf_state)}"


def read_states(items: Iterable[types.ReadState]) -> str:
    return "[" + " ".join(f"{{{item.index} [{' '.join(map(str, item.context))}]}}" for item in items) + "]"


def _endpoint(node: int) -> str:
    return _ENDPOINTS.get(node, f"{node:x}")


def message(item: types.Message, indent: str = "", *, with_responses: bool = True) -> str:
    """A message, without a newline at the end; entries, snapshot and responses may need lines of their own."""
    parts = [
        f"{indent}{_endpoint(item.sender)}->{_endpoint(item.to)} {item.type.printed} Term:{item.term} "
        f"Log:{item.log_term}/{item.index}"
    ]
    if item.reject:
        parts.append(f" Rejected (Hint: {item.reject_hint})")
    if item.commit:
        parts.append(f" Commit:{item.commit}")
    if item.vote:
        parts.append(f" Vote:{item.vote}")
    if len(item.entries) == 1:
        parts.append(f" Entries:[{entry(item.entries[0])}]")
    elif item.entries:
        parts.append(" Entries:[")
        parts += [f"\n{indent}  {entry(one)}" for one in item.entries]
        parts.append(f"\n{indent}]")
    if item.snapshot is not None and item.snapshot.metadata.index:
        parts.append(f"\n{indent}  Snapshot: {snapshot(item.snapshot)}")
    if with_responses and item.responses:
        parts.append(" Responses:[")
        parts += ["\n" + message(response, indent + "  ") for response in item.responses]
        parts.append(f"\n{indent}]")
    return "".join(parts)
