"""One forwarded call without sockets: what leaves in one piece, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dualmode.http.interface import ErrorCode, Fields, RequestHead
from dualmode.proxy.grpc_forward import GrpcForwardRoute
from tests.rpc.fake_link import FakeLink

HEAD = RequestHead(b"POST", b"http", b"here", b"/any/Thing", ((b"content-type", b"application/grpc"),))
ANSWER = ((b"content-type", b"application/grpc"),)
DONE = ((b"grpc-status", b"0"),)


class FakeMember:
    """Stands for `Upstreams` and for their one connection."""

    scheme = b"http"
    fault = "nobody is there"

    def __init__(self) -> None:
        self.ready: FakeMember | None = self
        self.has_room = True
        self.sink: Any = None
        #: (body, end) of each stream that was opened, then what followed.
        self.opened: list[tuple[bytes, bool]] = []
        self.followed: list[bytes] = []
        self.resets: list[int] = []
        self.attempts: list[int] = []
        self.acknowledged_bytes = 0
        self._calls: list[Callable[..., None]] = []

    @property
    def is_open(self) -> bool:
        return self.ready is not None

    @property
    def can_open_stream(self) -> bool:
        return self.is_open and self.has_room

    def for_call(self, path: bytes) -> FakeMember | None:
        return self.ready

    def count(self, attempt: int) -> None:
        self.attempts.append(attempt)

    def at_flush(self, call: Callable[[], None]) -> None:
        self._calls.append(call)

    after_read = when_room = at_flush

    def when_ready(self, call: Callable[[Any], None]) -> None:
        self._calls.append(lambda: call(self.ready))

    def turn(self) -> None:
        """The read is handled, the output leaves, or whatever else was waited for comes."""
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def open_stream(self, head: Fields, sink: Any, body: bytes, end: bool) -> int:
        self.sink = sink
        self.opened.append((body, end))
        return 2 * len(self.opened) - 1

    def send_data(self, stream_id: int, data: bytes) -> None:
        self.followed.append(data)

    def end_stream(self, stream_id: int) -> None:
        self.followed.append(b"end")

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self.resets.append(error_code)

    def acknowledge(self, stream_id: int, flow_bytes: int) -> None:
        self.acknowledged_bytes += flow_bytes

    def unsent_bytes(self, stream_id: int) -> int:
        return 0


class Case:
    """A call that has begun."""

    def __init__(self) -> None:
        self.member = FakeMember()
        self.link = FakeLink()
        self.client = GrpcForwardRoute(self.member).serve(self.link, 1, HEAD, b"")  # type: ignore[arg-type]

    def ask(self) -> None:
        """Sends the whole request."""
        self.client.on_data(b"question", 8)
        self.client.on_end(())
        self.member.turn()


def test_a_request_that_came_in_one_read_is_opened_as_a_whole() -> None:
    case = Case()
    assert case.member.opened == []
    case.ask()
    assert (case.member.opened, case.member.followed) == ([(b"question", True)], [])
    assert case.link.acknowledged_bytes == 8


def test_a_request_that_comes_slowly_is_passed_on_as_it_comes() -> None:
    case = Case()
    case.member.turn()
    case.client.on_data(b"late", 4)
    case.client.on_end(())
    assert (case.member.opened, case.member.followed) == ([(b"", False)], [b"late", b"end"])
    assert case.link.acknowledged_bytes == 4


def test_a_call_that_is_given_up_before_it_leaves_never_does() -> None:
    case = Case()
    case.client.on_reset(ErrorCode.CANCEL)
    case.member.turn()
    assert (case.member.opened, case.member.resets) == ([], [])


def test_a_call_waits_for_room_and_for_a_member() -> None:
    case = Case()
    case.member.has_room = False
    case.ask()
    case.member.ready = None
    case.member.turn()  # there is room, it seems; but when the call wants to leave nobody is there
    case.member.ready, case.member.has_room = case.member, True
    for _ in range(2):
        case.member.turn()
    assert case.member.opened == [(b"question", True)]


def test_a_member_that_goes_before_the_call_leaves_is_waited_for() -> None:
    case = Case()
    case.member.ready = None
    case.ask()
    case.member.turn()
    assert case.link.answer().grpc_status == (14, "no endpoint is available: nobody is there")


def test_an_answer_that_came_in_one_read_leaves_as_a_whole() -> None:
    case = Case()
    case.ask()
    case.member.sink.on_head(200, ANSWER)
    for piece in (b"ans", b"wer"):
        case.member.sink.on_data(piece, 3)
    assert case.link.answer().head is None
    case.member.sink.on_end(DONE)
    case.member.turn()
    answer = case.link.answer()
    assert (answer.body, answer.grpc_status, answer.is_ended) == (b"answer", (0, ""), True)


def test_an_answer_that_is_not_over_with_its_read_is_passed_on() -> None:
    case = Case()
    case.ask()
    case.member.sink.on_head(200, ANSWER)
    case.member.turn()
    assert case.link.answer().head is not None
    case.member.sink.on_data(b"one", 3)
    assert case.link.answer().body == b"one"
    case.member.sink.on_end(DONE)
    assert case.link.answer().grpc_status == (0, "")
    assert case.member.acknowledged_bytes == 3


def test_what_came_before_the_member_was_lost_is_passed_on() -> None:
    for is_lost, reason in ((True, "it died"), (False, "")):
        case = Case()
        case.ask()
        case.member.sink.on_head(200, ANSWER)
        case.member.sink.on_data(b"one", 3)
        case.member.sink.on_reset(ErrorCode.INTERNAL_ERROR, True, reason)
        case.member.turn()
        answer = case.link.answer()
        assert answer.body == b"one"
        if is_lost:
            assert answer.grpc_status == (14, "the endpoint was lost: it died")
        else:
            assert answer.reset_code == ErrorCode.INTERNAL_ERROR
