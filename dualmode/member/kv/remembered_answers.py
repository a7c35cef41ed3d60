"""Decides: which answers to Range are kept, and which of them a change ends.

Programs ask for the same interval again and again (a list of services, the candidates of an election), and most of the
time nothing in it has changed. So what follows the header of an answer is kept under the request's bytes as they came,
until a key of its interval is written or deleted. That is exact: of a request for now, all but the header is a function
of the request and of the keys in its interval.

What is asked once costs a look-up; an answer is kept from the second time on. One that ended before anybody asked again
was kept in vain, and has to be asked for twice as often before it is kept again.

A change has to find the intervals it falls in, and nearly all fall in none. So there is first the union of all
intervals, as one sorted list of edges: a key is inside when an odd number of edges is not above it. Only for what is
inside there is the tree. The union may still have intervals that are gone; it has all that there are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

from dualmode import limits
from dualmode.member.interval_tree import IntervalTree, Node
from dualmode.storage.mvcc.changes import Commit
from dualmode.storage.mvcc.interval import interval

#: Keys that were inside the union and in no interval, as a share of the intervals, before the union is made anew.
_FALSE_SHARE: Final = 8


class Answer:
    """What is kept of one answer, and what the checks need to know of its request."""

    __slots__ = ("body", "is_serializable", "key", "message", "patience", "range_end", "was_useful")

    def __init__(self, message: bytes, request: Any, body: bytes, patience: int) -> None:
        self.message = message
        self.key: bytes = request.key
        self.range_end: bytes = request.range_end
        self.is_serializable: bool = request.serializable
        #: The RangeResponse without its header.
        self.body = body
        #: How often it has to be asked for before it is kept.
        self.patience = patience
        self.was_useful = False

    @property
    def size_bytes(self) -> int:
        """What it takes of the budget."""
        return len(self.body) + len(self.message) + limits.REMEMBERED_ANSWER_OVERHEAD_BYTES


class _Interval(Node):
    """An interval with its answers."""

    __slots__ = ("answers",)

    def __init__(self, low: bytes, high: bytes | None) -> None:
        super().__init__(low, high)
        self.answers: dict[bytes, Answer] = {}


class RememberedAnswers:
    """The answers of one store, which tells of every change (`Store.on_change`). Used between passes only.

    `budget_bytes` bounds all of them together; the one unused for longest goes first.
    """

    def __init__(self, budget_bytes: int = limits.REMEMBERED_ANSWERS_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self.size_bytes = 0
        #: Requests that are not kept yet: how often they go by from now on, and their patience.
        self._asked: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self._intervals: dict[tuple[bytes, bytes | None], _Interval] = {}
        self._tree: IntervalTree[_Interval] = IntervalTree()
        #: The union: low, high, low, high ...; without a last high when it has no end.
        self._edges: list[bytes] = []
        self._false = 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, message: bytes) -> Answer | None:
        """The answer to these bytes of a RangeRequest, if it is kept."""
        answer = self._answers.get(message)
        if answer is not None:
            answer.was_useful = True
            self._answers.move_to_end(message)
        return answer

    def note(self, message: bytes, request: Any, response: bytes, header_bytes: int) -> None:
        """A request (its bytes, and decoded) that was not kept has been answered: the header is the first
        `header_bytes` of the response. Keeps the rest, if that is worth it."""
        if request.revision > 0 or not request.range_end or len(message) > limits.REMEMBERED_REQUEST_BYTES:
            return
        goes_by, patience = self._asked.pop(message, (1, 1))
        if goes_by:
            self._let_go_by(message, goes_by - 1, patience)
        elif len(response) <= min(limits.REMEMBERED_ANSWER_BYTES, self._budget_bytes // 2):
            self._keep(Answer(message, request, response[header_bytes:], patience))

    def on_change(self, commits: Iterable[Commit] | None) -> None:
        """A pass has ended with these commits. None: the store may be any other one."""
        if commits is None:
            self._forget_all()
            return
        edges = self._edges
        if not edges:
            return
        for commit in commits:
            for change in commit.changes:
                if bisect_right(edges, change.key) & 1:
                    self._forget_around(change.key)
                    edges = self._edges

    # --- What is kept ------------------------------------------------------------------------------------------

    def _let_go_by(self, message: bytes, times: int, patience: int) -> None:
        self._asked[message] = times, patience
        if len(self._asked) > limits.REMEMBERED_REQUESTS:
            self._asked.popitem(last=False)

    def _keep(self, answer: Answer) -> None:
        low, high = interval(answer.key, answer.range_end)
        if high is not None and high <= low:
            return  # no key is in there, and finding nothing is cheap
        place = self._intervals.get((low, high))
        if place is None:
            place = self._intervals[low, high] = _Interval(low, high)
            self._tree.add(place)
            self._widen(low, high)
        place.answers[answer.message] = self._answers[answer.message] = answer
        self.size_bytes += answer.size_bytes
        while self.size_bytes > self._budget_bytes or len(self._answers) > limits.REMEMBERED_ANSWERS:
            self._evict(next(iter(self._answers.values())))

    def _evict(self, answer: Answer) -> None:
        del self._answers[answer.message]
        self.size_bytes -= answer.size_bytes
        place = self._intervals[interval(answer.key, answer.range_end)]
        del place.answers[answer.message]
        if not place.answers:
            self._drop(place)

    def _forget_around(self, key: bytes) -> None:
        """Ends the answers in whose intervals the key is."""
        found: list[_Interval] = []
        self._tree.search(key, found)
        for place in found:
            for answer in place.answers.values():
                del self._answers[answer.message]
                self.size_bytes -= answer.size_bytes
                patience = 1 if answer.was_useful else min(2 * answer.patience, limits.REMEMBERED_PATIENCE)
                self._let_go_by(answer.message, patience - 1, patience)
            self._drop(place)
        if not found:
            self._false += 1
            if self._false * _FALSE_SHARE > len(self._intervals):
                self._make_union()

    def _drop(self, place: _Interval) -> None:
        del self._intervals[place.low, place.high]
        self._tree.remove(place)
        if not self._intervals:
            self._make_union()

    def _forget_all(self) -> None:
        self._answers.clear()
        self.size_bytes = 0
        self._intervals.clear()
        self._tree = IntervalTree()
        self._make_union()

    # --- The union ---------------------------------------------------------------------------------------------

    def _make_union(self) -> None:
        self._edges, self._false = [], 0
        for low, high in self._intervals:
            self._widen(low, high)

    def _widen(self, low: bytes, high: bytes | None) -> None:
        """Adds an interval, which has room for a key. Edges inside it or at its ends give way to those that are left:
        a low that is inside already is none, and so is a high."""
        edges = self._edges
        start = bisect_left(edges, low)
        end = len(edges) if high is None else bisect_right(edges, high)
        new = [] if start & 1 else [low]
        if high is not None and not end & 1:
            new.append(high)
        edges[start:end] = new
