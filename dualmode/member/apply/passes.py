"""Decides: what a run of committed entries does: one pass of the store, one round of watch delivery, the answers.

All effects of a pass and its applied index reach the store together, so whatever a crash leaves is the state after some
entry. An entry that the store has seen already (it comes again after a restart) changes nothing but what Raft knows of
its members.
"""

from __future__ import annotations

from collections.abc import Callable

from dualmode import errors
from dualmode.errors import RpcError
from dualmode.member.apply import requests
from dualmode.member.apply.applier import Applier
from dualmode.member.cluster.conf_changes import apply_conf_change
from dualmode.member.cluster.proposed_changes import ProposedChanges
from dualmode.member.proposals import WaitingProposals
from dualmode.raft import ConfState, Entry, EntryType, RawNode
from dualmode.rpc.calls import Reply
from dualmode.storage.mvcc import Commit

Answers = list[tuple[Reply, bytes | RpcError]]


class Passes:
    """Applies entries for the replica, which owns it."""

    def __init__(
        self,
        node: RawNode,
        conf_state: ConfState,
        applier: Applier,
        waiting: WaitingProposals,
        changes: ProposedChanges,
        publish: Callable[[list[Commit]], None],
    ) -> None:
        self._node = node
        self._applier = applier
        self._store = applier.store
        self._waiting = waiting
        self._changes = changes
        self._publish = publish
        #: The configuration as of the applied index.
        self.conf_state = conf_state

    def run(self, entries: list[Entry]) -> None:
        """One pass over `entries`; answers whoever proposed them here."""
        store = self._store
        answers: Answers = []
        store.begin_pass()
        for entry in entries:
            if entry.index <= store.applied_index:
                if entry.type != EntryType.NORMAL:
                    applied = apply_conf_change(self._node, self._applier.membership, entry, is_replay=True)
                    self.conf_state = applied.conf_state
            elif entry.type == EntryType.NORMAL:
                if entry.data:
                    self._apply_request(entry, answers)
                else:
                    self._fail_displaced(entry, answers)  # a leader's first entry
            else:
                self._apply_change(entry, answers)
        last = entries[-1]
        commits = store.end_pass(max(last.index, store.applied_index), last.term)
        if commits:
            self._publish(commits)
        for reply, outcome in answers:
            if type(outcome) is bytes:
                reply.reply(outcome)
            else:
                reply.fail(outcome)  # type: ignore[arg-type]

    def _apply_request(self, entry: Entry, answers: Answers) -> None:
        proposal = self._waiting.take(entry.index, entry.term)
        if proposal is not None:
            outcome = self._applier.apply(proposal.kind, proposal.request, proposal.caller, entry.index)
            answers.append((proposal.reply, outcome))
            return
        self._fail_displaced(entry, answers)
        decoded = requests.decode(entry.data)
        outcome = self._applier.apply(decoded.kind, decoded.request, decoded.caller, entry.index)
        forwarded = self._waiting.take_forwarded(decoded.request_id)
        if forwarded is not None:
            answers.append((forwarded.reply, outcome))

    def _fail_displaced(self, entry: Entry, answers: Answers) -> None:
        """Another entry than the one proposed here was committed at this index."""
        lost = self._waiting.displaced(entry.index)
        if lost is not None:
            answers.append((lost.reply, errors.LEADER_CHANGED))

    def _apply_change(self, entry: Entry, answers: Answers) -> None:
        self._fail_displaced(entry, answers)
        applied = apply_conf_change(self._node, self._applier.membership, entry)
        self.conf_state = applied.conf_state
        reply = self._changes.take(applied.change_id)
        if reply is not None:
            answers.append((reply, applied.fault or b""))
