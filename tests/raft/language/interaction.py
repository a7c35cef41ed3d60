"""Decides: the commands of interaction transcripts, each from its arguments to what it does in the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualmode.raft import (
    NO_LIMIT,
    ConfChange,
    ConfChangeTransition,
    ConfChangeV2,
    Config,
    ConfState,
    Entry,
    Message,
    MessageType,
    RaftError,
    ReadOnlyOption,
    Snapshot,
    SnapshotMetadata,
    StateType,
)
from dualmode.raft import printing as printed
from dualmode.raft.step import step
from dualmode.raft.types import MESSAGE_NAMES
from tests.raft.language.cases import Case, TranscriptError, boolean, integer
from tests.raft.language.changes import CommandError, parse_changes
from tests.raft.language.environment import Environment
from tests.raft.language.nodes import Node
from tests.raft.language.output import LEVELS

ELECTION_TICKS = 3
_TRANSITIONS = {
    "auto": ConfChangeTransition.AUTO,
    "implicit": ConfChangeTransition.JOINT_IMPLICIT,
    "explicit": ConfChangeTransition.JOINT_EXPLICIT,
}
_READ_ONLY = {"safe": ReadOnlyOption.SAFE, "lease-based": ReadOnlyOption.LEASE_BASED}
_FLAGS = {
    "prevote": "pre_vote",
    "checkquorum": "check_quorum",
    "async-storage-writes": "async_storage_writes",
    "step-down-on-removal": "step_down_on_removal",
    "disable-conf-change-validation": "disable_conf_change_validation",
}
_NUMBERS = {
    "index": "applied",
    "inflight": "max_inflight_messages",
    "max-committed-size-per-ready": "max_committed_bytes",
}


class Session:
    """One file: an environment, and the commands that are run in it."""

    def __init__(self) -> None:
        self.environment = Environment()

    def run(self, case: Case) -> str:
        output = self.environment.output
        output.take()
        try:
            command = _COMMANDS.get(case.command)
            if command is None:
                raise CommandError("unknown command")
            command(self.environment, case)
        except RaftError as error:
            if output.muted:
                return str(error)
            output.write(str(error))
        return output.take() or "ok"


def _ids(case: Case) -> list[int]:
    return [integer(key) for key in case.bare()]


def _first_node(environment: Environment, case: Case) -> Node:
    return environment.node(integer(case.first()))


def _step(node: Node, message: Message) -> None:
    """The state machine directly, without the filter for messages from outside."""
    step(node.raw.core, message)


# --- making nodes ---------------------------------------------------------------------------------------------------


def _add_nodes(environment: Environment, case: Case) -> None:
    settings, initial = _node_settings(case)
    if initial != Snapshot() and initial.metadata.index <= 1:
        raise CommandError("index must be specified as > 1 due to bootstrap")
    for _ in range(integer(case.first())):
        config = Config(id=len(environment.nodes) + 1, **settings)
        environment.nodes.append(Node(config, initial, environment.output))


def _node_settings(case: Case) -> tuple[dict[str, Any], Snapshot]:
    """Settings of the cores, and the snapshot they start from."""
    settings: dict[str, Any] = {"election_ticks": ELECTION_TICKS, "max_inflight_messages": 2**31 - 1}
    members: dict[str, list[int]] = {"voters": [], "learners": []}
    content = b""
    for key, value in case.values():
        if key in members:
            members[key].append(integer(value))
        elif key in _NUMBERS:
            settings[_NUMBERS[key]] = integer(value)
        elif key in _FLAGS:
            settings[_FLAGS[key]] = boolean(value)
        elif key == "content":
            content = value.encode()
        elif key == "read-only":
            if value not in _READ_ONLY:
                raise CommandError(f"invalid read-only option {printed.quoted(value.encode())}")
            settings["read_only"] = _READ_ONLY[value]
    if settings.get("max_committed_bytes") == 0:
        settings["max_committed_bytes"] = NO_LIMIT
    index = settings.get("applied", 0)
    if not (members["voters"] or members["learners"] or index or content):
        return settings, Snapshot()
    conf_state = ConfState(voters=tuple(members["voters"]), learners=tuple(members["learners"]))
    return settings, Snapshot(content, SnapshotMetadata(conf_state, index, term=1))


# --- messages a node gets from its owner ----------------------------------------------------------------------------


def _campaign(environment: Environment, case: Case) -> None:
    _step(_first_node(environment, case), Message(MessageType.HUP))


def _propose(environment: Environment, case: Case) -> None:
    if len(case.arguments) != 2 or len(case.bare()) != 2:
        raise TranscriptError("propose takes a node and data")
    number, data = case.bare()
    entry = Entry(data=data.encode())
    _step(environment.node(integer(number)), Message(MessageType.PROPOSAL, sender=integer(number), entries=[entry]))


def _propose_conf_change(environment: Environment, case: Case) -> None:
    node = _first_node(environment, case)
    old_form, transition = False, ConfChangeTransition.AUTO
    for key, value in case.values():
        if key == "v1":
            old_form = boolean(value)
        elif key == "transition":
            if value not in _TRANSITIONS:
                raise CommandError(f"unknown transition {value}")
            transition = _TRANSITIONS[value]
        else:
            raise CommandError(f"unknown command {key}")
    changes = parse_changes(case.input)
    if not old_form:
        entry = ConfChangeV2(changes, transition).entry()
    elif len(changes) > 1 or transition != ConfChangeTransition.AUTO:
        raise CommandError("v1 conf change can only have one operation and no transition")
    elif not changes:
        raise TranscriptError("a v1 conf change needs an operation")
    else:
        entry = ConfChange(changes[0].type, changes[0].node_id).entry()
    _step(node, Message(MessageType.PROPOSAL, entries=[entry]))


def _tick(ticks: int) -> Callable[[Environment, Case], None]:
    def command(environment: Environment, case: Case) -> None:
        node = _first_node(environment, case)
        for _ in range(ticks):
            node.raw.tick()

    return command


def _set_randomized_election_timeout(environment: Environment, case: Case) -> None:
    timeout = integer(case.lookup("timeout"))
    if timeout == 0:
        raise TranscriptError("timeout must not be 0")
    _first_node(environment, case).raw.core.randomized_election_timeout = timeout


def _forget_leader(environment: Environment, case: Case) -> None:
    _step(_first_node(environment, case), Message(MessageType.FORGET_LEADER))


def _transfer_leadership(environment: Environment, case: Case) -> None:
    node, to = environment.node(integer(case.lookup("from"))), integer(case.lookup("to"))
    _step(node, Message(MessageType.TRANSFER_LEADER, sender=to))


def _report_unreachable(environment: Environment, case: Case) -> None:
    ids = _ids(case)
    if len(ids) != 2:
        raise CommandError("must specify exactly two node indexes: node on which to report, and reported node")
    _step(environment.node(ids[0]), Message(MessageType.UNREACHABLE, sender=ids[1]))


def _send_snapshot(environment: Environment, case: Case) -> None:
    sender, to = _ids(case)
    node = environment.node(sender)
    message = Message(MessageType.SNAPSHOT, to=to, sender=sender, term=node.raw.term, snapshot=node.storage.history[-1])
    environment.network.append(message)
    environment.output.write(printed.message(message))


# --- moving things --------------------------------------------------------------------------------------------------


def _deliver_messages(environment: Environment, case: Case) -> None:
    kind: MessageType | None = None
    recipients: list[tuple[int, bool]] = []
    for argument in case.arguments:
        if not argument.values:
            recipients.append((integer(argument.key), False))
        for value in argument.values:
            if argument.key == "drop":
                recipients.append((integer(value), True))
            elif argument.key == "type" and value in MESSAGE_NAMES:
                kind = MessageType(MESSAGE_NAMES.index(value))
            else:
                raise TranscriptError(f"deliver-msgs does not know {argument.key}={value}")
    if {to for to, dropping in recipients if dropping} & {to for to, dropping in recipients if not dropping}:
        raise TranscriptError("the same messages cannot be delivered and dropped")
    moved = 0
    for to, dropping in recipients:
        moved += environment.drop(to, kind) if dropping else environment.deliver(to, kind)
    if not moved:
        environment.output.write("no messages")


def _process(action: Callable[[Environment, int], None], header: str) -> Callable[[Environment, Case], None]:
    """A command that acts on one node plainly, on several under a header each."""

    def command(environment: Environment, case: Case) -> None:
        ids = _ids(case)
        if len(ids) == 1:
            action(environment, ids[0])
            return
        for number in ids:
            environment.output.write(f"> {number} {header}\n")
            with environment.output.indented():
                action(environment, number)

    return command


def _stabilize(environment: Environment, case: Case) -> None:
    output = environment.output
    former = output.level
    try:
        for key, value in case.values():
            if key != "log-level":
                raise TranscriptError(f"stabilize does not know {key}")
            output.level = _level(value)
        environment.stabilize(_ids(case) or [node.raw.id for node in environment.nodes])
    finally:
        output.level = former


def _level(name: str) -> int:
    if name.upper() not in LEVELS:
        raise CommandError(f"log levels must be either of [{' '.join(LEVELS)}]")
    return LEVELS.index(name.upper())


def _log_level(environment: Environment, case: Case) -> None:
    environment.output.level = _level(case.first())


# --- looking --------------------------------------------------------------------------------------------------------


def _raft_log(environment: Environment, case: Case) -> None:
    storage = _first_node(environment, case).storage
    first, last = storage.first_index(), storage.last_index()
    if last < first:
        environment.output.write(f"log is empty: first index={first}, last index={last}")
        return
    for line in printed.entries(storage.entries(first, last + 1)):
        environment.output.write(f"{line}\n")


def _compact(environment: Environment, case: Case) -> None:
    _, index = _ids(case)
    _first_node(environment, case).storage.compact(index)
    _raft_log(environment, case)


def _raft_state(environment: Environment, case: Case) -> None:
    for node in environment.nodes:
        core = node.raw.core
        role = "(Voter)" if core.id in core.tracker.configuration.voters() else "(Non-Voter)"
        environment.output.write(f"{core.id}: {core.state.printed} {role} Term:{core.term} Lead:{core.leader}\n")


def _status(environment: Environment, case: Case) -> None:
    status = _first_node(environment, case).raw.status()
    if status.soft_state.state == StateType.LEADER:
        for line in printed.progress_map(status.progress):
            environment.output.write(f"{line}\n")


_COMMANDS: dict[str, Callable[[Environment, Case], None]] = {
    "_breakpoint": lambda environment, case: None,
    "add-nodes": _add_nodes,
    "campaign": _campaign,
    "compact": _compact,
    "deliver-msgs": _deliver_messages,
    "forget-leader": _forget_leader,
    "log-level": _log_level,
    "process-append-thread": _process(Environment.process_append_thread, "processing append thread"),
    "process-apply-thread": _process(Environment.process_apply_thread, "processing apply thread"),
    "process-ready": _process(Environment.process_ready, "handling Ready"),
    "propose": _propose,
    "propose-conf-change": _propose_conf_change,
    "raft-log": _raft_log,
    "raft-state": _raft_state,
    "report-unreachable": _report_unreachable,
    "send-snapshot": _send_snapshot,
    "set-randomized-election-timeout": _set_randomized_election_timeout,
    "stabilize": _stabilize,
    "status": _status,
    "tick-election": _tick(ELECTION_TICKS),
    "tick-heartbeat": _tick(1),
    "transfer-leadership": _transfer_leadership,
}
