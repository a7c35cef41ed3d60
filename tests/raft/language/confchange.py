"""Decides: the commands of confchange transcripts: changes on a bare progress tracker."""

from __future__ import annotations

from dualmode.raft import RaftError
from dualmode.raft import printing as printed
from dualmode.raft.confchange import Changer, Outcome
from dualmode.raft.tracker import Tracker
from tests.raft.language.cases import Case, boolean
from tests.raft.language.changes import CommandError, parse_changes


class Session:
    """One file works on one tracker; `last_index` counts the commands."""

    def __init__(self) -> None:
        self._tracker = Tracker(max_inflight=10)
        self._last_index = 0

    def run(self, case: Case) -> str:
        try:
            self._tracker.install(*self._outcome(case))
        except RaftError as error:
            return f"{error}\n"
        finally:
            self._last_index += 1
        lines = [printed.configuration(self._tracker.configuration), *printed.progress_map(self._tracker.progress)]
        return "".join(f"{line}\n" for line in lines)

    def _outcome(self, case: Case) -> Outcome:
        changes = parse_changes(case.input)
        changer = Changer(self._tracker, self._last_index)
        if case.command == "simple":
            return changer.simple(changes)
        if case.command == "enter-joint":
            auto_leave = False
            for key, value in case.values():
                if key == "autoleave":
                    auto_leave = boolean(value)
            return changer.enter_joint(auto_leave, changes)
        if case.command == "leave-joint":
            if changes:
                raise CommandError("this command takes no input")
            return changer.leave_joint()
        raise CommandError("unknown command")
