"""Decides: who is told how far everything is, and when: questions of progress on one upstream stream.

Members drop a question while a watch is behind, so answers cannot be told apart; but they keep their order: the n-th
answer is to the n-th question or a later one. A client is told by an answer that is certainly to its own question, or
to one behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dualmode.api import etcdserverpb
from dualmode.proxy.sharing.responses import NO_WATCH, Response
from dualmode.proxy.sharing.watches import ClientStream


class Progress:
    """Of one upstream stream; `send` takes WatchRequests for it."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._questions = self._answers = 0

    def ask(self, stream: ClientStream) -> None:
        """Passes a client's question on; one that does not read has not been sent everything, and waits."""
        if stream.parked:
            stream.is_progress_asked = True
            return
        stream.is_progress_asked = False
        self._ask()
        stream.questions.append(self._questions)

    def ask_again(self, streams: Iterable[ClientStream]) -> None:
        """What was dropped is asked once more, while somebody waits."""
        if any(stream.questions for stream in streams):
            self._ask()

    def _ask(self) -> None:
        self._questions += 1
        request = etcdserverpb.WatchRequest(progress_request=etcdserverpb.WatchProgressRequest())
        self._send(request.SerializeToString())

    def on_answer(self, response: Response, streams: Iterable[ClientStream]) -> None:
        """Tells those whose question this is certainly an answer to."""
        self._answers += 1
        for stream in streams:
            questions = stream.questions
            if not questions or questions[0] > self._answers:
                continue
            if stream.parked:
                questions.clear()
                stream.is_progress_asked = True
                continue
            while questions and questions[0] <= self._answers:
                questions.popleft()
            if stream.watches:
                stream.client.send_now(response.addressed(NO_WATCH))
