"""Does: bcrypt, in worker threads: it takes 50 ms of a core and gives the interpreter's lock away meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import bcrypt
import trio

from dualmode import errors, limits
from dualmode.member.auth.verified_passwords import VerifiedPasswords

#: As Go's bcrypt writes it, so that rows look the same whoever wrote them.
_PREFIX = b"2a"

Result = TypeVar("Result")


def hash_now(password: str, cost: int) -> bytes:
    """The bcrypt hash, computed where it is called: never on the loop but for entries of etcd 3.4."""
    salt = bcrypt.gensalt(cost, prefix=_PREFIX)
    return bcrypt.hashpw(_significant(password), salt)


def _matches_now(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # the row holds no bcrypt hash: an empty password was set, or something else
        return False


def _significant(password: str) -> bytes:
    return password.encode()[: limits.BCRYPT_PASSWORD_BYTES]


class Passwords:
    """Hashes new passwords and checks those of logins. `cost` is bcrypt's; each step doubles the time."""

    def __init__(self, cost: int, verified: VerifiedPasswords) -> None:
        self._cost = cost
        self._verified = verified
        self._threads = trio.CapacityLimiter(limits.BCRYPT_THREADS)

    async def hash(self, password: str) -> bytes:
        """Raises PASSWORD_TOO_LONG, TOO_MANY_REQUESTS."""
        if len(password.encode()) > limits.BCRYPT_PASSWORD_BYTES:
            raise errors.PASSWORD_TOO_LONG
        return await self._in_thread(hash_now, password, self._cost)

    async def matches(self, password: str, hashed: bytes) -> bool:
        """Whether a password is right. Raises TOO_MANY_REQUESTS."""
        significant = _significant(password)
        if self._verified.knows(significant, hashed):
            return True
        if not await self._in_thread(_matches_now, significant, hashed):
            return False
        self._verified.add(significant, hashed)
        return True

    async def _in_thread(self, function: Callable[..., Result], *arguments: object) -> Result:
        if self._threads.statistics().tasks_waiting >= limits.WAITING_PASSWORDS:
            raise errors.TOO_MANY_REQUESTS
        # A client that goes does not wait for its thread, which ends by itself and holds its place until then.
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._threads, abandon_on_cancel=True)
