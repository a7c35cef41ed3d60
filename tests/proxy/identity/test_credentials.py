"""What a file of users says, and what it may not say."""

from __future__ import annotations

import pytest

from dualmode.errors import StartError
from dualmode.proxy.identity.credentials import parse_credentials


def test_names_and_passwords() -> None:
    text = "# users\n\nalice:secret\nbob smith:a:b c \n"
    assert parse_credentials(text, "users") == {"alice": "secret", "bob smith": "a:b c "}


@pytest.mark.parametrize(
    ("text", "line"), [("alice", 1), ("a:b\n:b", 2), ("a:", 1), ("a:b\n\na:c", 3), ("a:b\nsecret", 2)]
)
def test_a_fault_is_named_by_its_line_and_never_shown(text: str, line: int) -> None:
    with pytest.raises(StartError) as raised:
        parse_credentials(text, "users")
    assert str(raised.value).startswith(f"users, line {line}: ")
    assert "secret" not in str(raised.value)
