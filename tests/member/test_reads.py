"""Rounds of linearizable reads."""

from hypothesis import given
from hypothesis import strategies as st

from dualmode import errors, limits
from dualmode.errors import RpcError
from dualmode.member.reads import LinearizableReads, Read


class Client:
    """Reads and keeps what it is told."""

    def __init__(self, fault: RpcError | None = None) -> None:
        self.told: list[object] = []
        self._fault = fault

    def answer(self) -> None:
        if self._fault is not None:
            raise self._fault
        self.told.append("read")

    def reply(self, message: bytes) -> None:
        raise AssertionError("the answer replies by itself")

    def fail(self, error: RpcError) -> None:
        self.told.append(error)


def reads() -> LinearizableReads:
    numbers = iter(range(1, 1000))
    return LinearizableReads(lambda: next(numbers))


def read(client: Client, deadline: float = 7.0) -> Read:
    return Read(client.answer, client, deadline)


def context(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_reads_that_come_during_a_round_wait_for_the_next_one() -> None:
    rounds, first, second = reads(), read(Client()), read(Client())
    assert rounds.begin(0.0) is None
    rounds.add(first)
    assert rounds.is_waiting_to_begin
    assert rounds.begin(0.0) == context(1)
    rounds.add(second)
    assert not rounds.is_waiting_to_begin
    assert rounds.begin(0.1) is None
    rounds.on_index(context(1), 5)
    assert rounds.applied(4) == []
    assert rounds.begin(0.1) == context(2)
    rounds.on_index(context(2), 6)
    assert rounds.applied(6) == [first, second]
    assert len(rounds) == 0


def test_a_round_without_an_answer_is_asked_again_under_the_same_context() -> None:
    rounds = reads()
    rounds.add(read(Client()))
    assert rounds.begin(0.0) == context(1)
    assert rounds.begin(limits.READ_INDEX_RETRY_SECONDS - 0.01) is None
    assert rounds.begin(limits.READ_INDEX_RETRY_SECONDS) == context(1)
    assert rounds.slow_rounds == 1
    rounds.ask_again()
    assert rounds.begin(limits.READ_INDEX_RETRY_SECONDS) == context(1)
    assert rounds.slow_rounds == 1


def test_an_answer_that_comes_twice_or_is_not_ours_says_nothing() -> None:
    rounds, one = reads(), read(Client())
    rounds.add(one)
    rounds.begin(0.0)
    rounds.on_index(context(9), 1)
    assert rounds.applied(100) == []
    rounds.on_index(context(1), 3)
    rounds.on_index(context(1), 2)
    assert rounds.applied(3) == [one]
    assert rounds.applied(3) == []


def test_the_error_of_a_read_is_its_client_s() -> None:
    client = Client(errors.PERMISSION_DENIED)
    read(client).serve()
    assert client.told == [errors.PERMISSION_DENIED]


def test_reads_expire_wherever_they_are() -> None:
    rounds = reads()
    late = [read(Client(), 1.0) for _ in range(3)]
    kept = [read(Client(), 9.0) for _ in range(3)]
    for number in range(3):
        rounds.add(late[number])
        rounds.add(kept[number])
        if number < 2:
            rounds.begin(float(number))
        if number == 0:
            rounds.on_index(context(1), 10)
    assert sorted(map(id, rounds.expired(1.0))) == sorted(map(id, late))
    assert len(rounds) == 3
    assert rounds.failed_rounds == 1
    assert sorted(map(id, rounds.all())) == sorted(map(id, kept))
    assert len(rounds) == 0


@given(st.lists(st.sampled_from(("add", "begin", "index", "apply")), max_size=60))
def test_every_read_is_served_once_and_never_before_its_round(steps: list[str]) -> None:
    rounds = reads()
    index = applied = begun = 0
    waiting: dict[int, int] = {}  # read -> the applied index it may be served from, at least
    for step in steps:
        if step == "add":
            one = read(Client())
            rounds.add(one)
            waiting[id(one)] = index + 1
        elif step == "begin":
            begun += rounds.begin(0.0) is not None
        elif step == "index" and begun:
            index += 1
            rounds.on_index(context(begun), index)
        elif step == "apply":
            applied = index
            for one in rounds.applied(applied):
                assert waiting.pop(id(one)) <= applied
    assert len(rounds) == len(waiting)
