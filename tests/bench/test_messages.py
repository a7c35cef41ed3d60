"""gRPC messages out of bytes that are cut anywhere."""

from __future__ import annotations

from tests.bench.messages import Messages


def framed(*bodies: bytes) -> bytes:
    return b"".join(b"\0" + len(body).to_bytes(4, "big") + body for body in bodies)


def test_messages_in_every_chunking() -> None:
    wire = framed(b"first", b"", b"the third")
    for size in range(1, len(wire) + 1):
        found: list[bytes] = []
        messages = Messages(found.append)
        for start in range(0, len(wire), size):
            messages.receive(wire[start : start + size])
        assert found == [b"first", b"", b"the third"]
        assert (messages.last, messages.received_bytes) == (b"the third", len(wire))


def test_what_is_not_whole_is_not_the_last() -> None:
    messages = Messages()
    assert messages.last == b""
    messages.receive(framed(b"whole") + framed(b"cut off")[:-1])
    assert messages.last == b"whole"
