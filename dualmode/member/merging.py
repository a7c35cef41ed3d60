"""Decides: which of the messages of one turn need not be sent, because others say as much.

What the core says is one message for each thing that happened: an append for a commit and one for new entries behind
it, an answer for each append. A turn takes in many things at once, and each message costs both ends something. Leaving
one out is what a network may do at any time, so the core stands it as it is; what is left out here is never missed
either, since what is sent says all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dualmode import limits
from dualmode.raft import Entry, Message, MessageType

_APPEND: Final = MessageType.APPEND
_ACKNOWLEDGEMENT: Final = MessageType.APPEND_RESPONSE


def merged(messages: Sequence[Message]) -> Sequence[Message]:
    """The same said with fewer messages, in the order that each node is to hear them.

    Appends that follow upon each other become one, with the commit index of the last. Of acknowledgements the last one
    is enough: it speaks for all that came before.
    """
    if len(messages) < 2:
        return messages
    found: list[Message] = []
    last: dict[tuple[int, MessageType], int] = {}
    for message in messages:
        kind = message.type
        if kind is _APPEND or kind is _ACKNOWLEDGEMENT:
            key = message.to, kind
            before = last.get(key)
            if before is not None:
                both = _both(found[before], message)
                if both is not None:
                    found[before] = both
                    continue
            last[key] = len(found)
        found.append(message)
    return found


def _both(first: Message, second: Message) -> Message | None:
    """One message in place of two of a kind to one node; None where it must be two."""
    if first.term != second.term:
        return None
    if first.type is _ACKNOWLEDGEMENT:
        return None if first.reject or second.reject or second.index < first.index else second
    entries = first.entries
    if second.index != first.index + len(entries):
        return None
    if second.log_term != (entries[-1].term if entries else first.log_term):
        return None
    if not entries:
        return second if second.commit >= first.commit else None
    if not second.entries:
        return _append(first, entries, second)
    size = sum([len(entry.data) for entry in entries]) + sum([len(entry.data) for entry in second.entries])
    if size > limits.APPEND_BYTES:
        return None
    return _append(first, [*entries, *second.entries], second)


def _append(first: Message, entries: Sequence[Entry], second: Message) -> Message:
    """From where the first begins, with the later commit index."""
    return Message(
        _APPEND,
        to=first.to,
        sender=first.sender,
        term=first.term,
        log_term=first.log_term,
        index=first.index,
        entries=entries,
        commit=max(first.commit, second.commit),
    )
