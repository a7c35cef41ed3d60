"""bcrypt behind a door: threads, bounds, and what is remembered of right passwords."""

from __future__ import annotations

import bcrypt
import pytest
import trio

from dualmode import errors, limits
from dualmode.errors import RpcError
from dualmode.member.auth import passwords as module
from dualmode.member.auth.passwords import Passwords, hash_now
from dualmode.member.auth.verified_passwords import VerifiedPasswords

COST = 4
KEY = b"k" * 32


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(COST, VerifiedPasswords(KEY))


async def test_hashes_as_go_writes_them(passwords: Passwords) -> None:
    hashed = await passwords.hash("secret")
    assert hashed.startswith(b"$2a$04$")
    assert bcrypt.checkpw(b"secret", hashed)
    assert await passwords.matches("secret", hashed)
    assert not await passwords.matches("Secret", hashed)


@pytest.mark.parametrize("password", ["", "\0", "a\0b", "\u20ac", "x" * 72])
async def test_any_password_within_the_limit(passwords: Passwords, password: str) -> None:
    hashed = await passwords.hash(password)
    assert await passwords.matches(password, hashed)
    assert not await passwords.matches(password[:-1] + "!", hashed)


async def test_a_hash_that_go_made() -> None:
    """golang.org/x/crypto/bcrypt writes 2a."""
    assert await Passwords(COST, VerifiedPasswords(KEY)).matches(
        "allmine", b"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga"
    )


async def test_a_long_password(passwords: Passwords) -> None:
    """It cannot be set, since bcrypt would not look at its end; one that another server took is checked as far."""
    with pytest.raises(RpcError) as caught:
        await passwords.hash("x" * 73)
    assert caught.value == errors.PASSWORD_TOO_LONG
    with pytest.raises(RpcError):
        await passwords.hash("\u20ac" * 25)
    assert await passwords.matches("x" * 100, hash_now("x" * 72, COST))


@pytest.mark.parametrize("stored", [b"", b"hash", b"$2a$04$", b"$9z$04$" + b"a" * 53, b"\xff" * 60])
async def test_a_row_without_a_hash_matches_nothing(passwords: Passwords, stored: bytes) -> None:
    for password in ("", "hash"):
        assert not await passwords.matches(password, stored)


async def test_a_right_password_costs_bcrypt_once(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = hash_now("secret", COST)
    asked: list[bytes] = []

    def check(password: bytes, given: bytes) -> bool:
        asked.append(password)
        return password == b"secret"

    monkeypatch.setattr(module, "_matches_now", check)
    for password, is_right in (("wrong", False), ("secret", True), ("secret", True), ("wrong", False)):
        assert await passwords.matches(password, hashed) is is_right
    assert asked == [b"wrong", b"secret", b"wrong"], "a wrong one always costs"
    await passwords.matches("secret", hash_now("secret", COST))
    assert len(asked) == 4, "after a change of the password, also to the same, it is checked anew"


async def test_the_loop_goes_on_and_waiting_is_bounded(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WAITING_PASSWORDS", 3)
    release = trio.Event()

    def slow(password: bytes, given: bytes) -> bool:
        trio.from_thread.run(release.wait)
        return True

    monkeypatch.setattr(module, "_matches_now", slow)
    refused: list[RpcError] = []
    right: list[bool] = []

    async def log_in(number: int) -> None:
        try:
            right.append(await passwords.matches(str(number), b"hash"))
        except RpcError as error:
            refused.append(error)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for number in range(limits.BCRYPT_THREADS + 5):
                nursery.start_soon(log_in, number)
            while len(refused) < 2:
                await trio.lowlevel.checkpoint()
            release.set()
    assert refused == [errors.TOO_MANY_REQUESTS] * 2
    assert right == [True] * (limits.BCRYPT_THREADS + 3)


# --- What is remembered ------------------------------------------------------------------------------------------


def test_knows_what_was_added_and_nothing_else() -> None:
    verified = VerifiedPasswords(KEY)
    verified.add(b"secret", b"hash-1")
    assert verified.knows(b"secret", b"hash-1")
    assert not verified.knows(b"secre", b"hash-1")
    assert not verified.knows(b"secret", b"hash-2")
    assert not verified.knows(b"", b"hash-1secret")


def test_holds_no_password_and_no_plain_hash_of_one() -> None:
    one, other = VerifiedPasswords(KEY), VerifiedPasswords(b"o" * 32)
    for verified in (one, other):
        verified.add(b"secret", b"hash")
    assert one._right != other._right
    assert b"secret" not in b"".join(one._right.values())


def test_forgets_the_longest_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VERIFIED_PASSWORDS", 2)
    verified = VerifiedPasswords(KEY)
    verified.add(b"a", b"1")
    verified.add(b"b", b"2")
    verified.knows(b"a", b"1")
    verified.add(b"c", b"3")
    assert [verified.knows(*one) for one in ((b"a", b"1"), (b"b", b"2"), (b"c", b"3"))] == [True, False, True]
