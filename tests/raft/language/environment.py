"""Decides: the little world of interaction transcripts: nodes, one network, one output; and what moves in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dualmode.raft import APPEND_THREAD, APPLY_THREAD, HardState, Message, MessageType, RaftError
from dualmode.raft import printing as printed
from tests.raft.language.cases import TranscriptError
from tests.raft.language.nodes import Node
from tests.raft.language.output import Output

_LOCAL_THREADS = (APPEND_THREAD, APPLY_THREAD)


class Environment:
    """Nodes are numbered from 1 in order of creation."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.network: list[Message] = []
        self.output = Output()

    def node(self, number: int) -> Node:
        if not 1 <= number <= len(self.nodes):
            raise TranscriptError(f"there is no node {number}")
        return self.nodes[number - 1]

    # --- the network ------------------------------------------------------------------------------------------

    def _take(self, to: int, kind: MessageType | None, dropping: bool) -> list[Message]:
        """Messages for one recipient leave the network; some may not get lost."""
        taken: list[Message] = []
        kept: list[Message] = []
        for message in self.network:
            safe = dropping and (
                message.sender == message.to or message.sender in _LOCAL_THREADS or message.to in _LOCAL_THREADS
            )
            chosen = message.to == to and (kind is None or message.type == kind) and not safe
            (taken if chosen else kept).append(message)
        self.network = kept
        return taken

    def drop(self, to: int, kind: MessageType | None = None) -> int:
        """How many messages were lost."""
        taken = self._take(to, kind, dropping=True)
        for message in taken:
            self.output.write(f"dropped: {printed.message(message)}\n")
        return len(taken)

    def deliver(self, to: int, kind: MessageType | None = None) -> int:
        """How many messages were delivered."""
        taken = self._take(to, kind, dropping=False)
        for message in taken:
            self.output.write(f"{printed.message(message)}\n")
            try:
                self.node(to).raw.step(message)
            except RaftError as error:
                self.output.write(f"{error}\n")
        return len(taken)

    # --- one step of one node -----------------------------------------------------------------------------------

    def process_ready(self, number: int) -> None:
        node = self.node(number)
        ready = node.raw.ready()
        self.output.write(ready.describe())
        if not node.asynchronous:
            node.persist(ready.hard_state, ready.snapshot, ready.entries)
            node.apply(ready.committed_entries)
        for message in ready.messages:
            if message.to == APPEND_THREAD:
                node.append_work.append(message)
            elif message.to == APPLY_THREAD:
                node.apply_work.append(message)
            else:
                self.network.append(message)
        if not node.asynchronous:
            node.raw.advance(ready)

    def process_append_thread(self, number: int) -> None:
        node = self.node(number)
        if not node.append_work:
            self.output.write("no append work to perform")
            return
        message = node.append_work.popleft()
        self._announce(message)
        hard_state = HardState(message.term, message.vote, message.commit)
        node.persist(hard_state if any(hard_state) else None, message.snapshot, message.entries)
        self._respond(message.responses)

    def process_apply_thread(self, number: int) -> None:
        node = self.node(number)
        if not node.apply_work:
            self.output.write("no apply work to perform")
            return
        message = node.apply_work.popleft()
        self._announce(message)
        node.apply(message.entries)
        self._respond(message.responses)

    def _announce(self, message: Message) -> None:
        self.output.write(f"Processing:\n{printed.message(replace(message, responses=()))}\n")

    def _respond(self, responses: Sequence[Message]) -> None:
        self.output.write("Responses:\n")
        for response in responses:
            self.output.write(f"{printed.message(response)}\n")
        self.network += responses

    # --- until nothing moves ------------------------------------------------------------------------------------

    def stabilize(self, numbers: Sequence[int]) -> None:
        while self._round(numbers):
            pass

    def _round(self, numbers: Sequence[int]) -> bool:
        moved = False
        for number in numbers:
            if self.node(number).raw.has_ready():
                moved = True
                self._block(f"> {number} handling Ready")
                with self.output.indented():
                    self.process_ready(number)
        for number in numbers:
            if any(message.to == number for message in self.network):
                moved = True
                self._block(f"> {number} receiving messages")
                with self.output.indented():
                    self.deliver(number)
        for number in numbers:
            if self.node(number).append_work:
                moved = True
                self._block(f"> {number} processing append thread")
            while self.node(number).append_work:
                with self.output.indented():
                    self.process_append_thread(number)
        for number in numbers:
            if self.node(number).apply_work:
                moved = True
                self._block(f"> {number} processing apply thread")
            while self.node(number).apply_work:
                with self.output.indented():
                    self.process_apply_thread(number)
        return moved

    def _block(self, header: str) -> None:
        self.output.write(f"{header}\n")
