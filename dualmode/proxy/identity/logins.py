"""Does: logs in at the members for the users of a credentials file, and keeps their tokens while they are fresh.

One login of a user is under way at a time, whoever waits for it. A token is used for less than the shortest life that
members give one by default (300 seconds, for simple tokens and JWT alike), and forgotten when a member refuses it. That
nobody has to log in, and why a login failed, is remembered for a moment only: it costs a member much to check a
password.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from dualmode import limits, log
from dualmode.api import etcdserverpb
from dualmode.client.status import CallError
from dualmode.errors import Code, RpcError, StartError
from dualmode.proxy.endpoint_calls import EndpointCalls
from dualmode.proxy.identity.credentials import parse_credentials

_log = log.get("proxy")
_AUTHENTICATE: Final = "/etcdserverpb.Auth/Authenticate"
_AUTH_IS_OFF: Final = "etcdserver: authentication is not enabled"


@dataclass(frozen=True, slots=True)
class Login:
    """What became of one: a token; no token and no error where members ask nobody who they are; or an error."""

    token: str = ""
    error: RpcError | None = None


WhenLoggedIn = Callable[[Login], None]


class Logins:
    """Of one proxy. `run` owns the logins under way."""

    def __init__(self, calls: EndpointCalls, file: Path) -> None:
        """Reads the file. Raises StartError."""
        self._calls = calls
        self._file = file
        self._stamp = _stamp(file)
        self._passwords = _read(file)
        self._known: dict[str, tuple[Login, float]] = {}
        self._waiting: dict[str, list[WhenLoggedIn]] = {}
        self._nursery: trio.Nursery | None = None

    def knows(self, user: str) -> bool:
        """Whether the file names this user."""
        return user in self._passwords

    def fresh(self, user: str) -> Login | None:
        """The login of this user that is good for now."""
        known = self._known.get(user)
        return known[0] if known is not None and trio.current_time() < known[1] else None

    def ask(self, user: str, call: WhenLoggedIn) -> None:
        """Calls once, perhaps at once."""
        login = self.fresh(user)
        if login is not None:
            call(login)
            return
        waiting = self._waiting.get(user)
        if waiting is not None:
            waiting.append(call)
            return
        assert self._nursery is not None, "logins run"
        self._waiting[user] = [call]
        self._nursery.start_soon(self._log_in, user)

    def forget(self, user: str, token: str) -> None:
        """A member has refused this token."""
        known = self._known.get(user)
        if known is not None and known[0].token == token:
            del self._known[user]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Works until cancelled; looks now and then whether the file has changed."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            while True:
                await trio.sleep(limits.PROXY_USERS_LOOK_SECONDS)
                self._look_at_file()

    def _look_at_file(self) -> None:
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            passwords = _read(self._file)
        except StartError as error:
            _log.warning("the credentials stay as they were", error=str(error))
            return
        for user in [user for user in self._known if passwords.get(user) != self._passwords.get(user)]:
            del self._known[user]
        self._passwords = passwords
        _log.info("credentials read again", file=str(self._file), users=len(passwords))

    async def _log_in(self, user: str) -> None:
        login = await self._attempt(user)
        keep_seconds = limits.PROXY_TOKEN_SECONDS if login.token else limits.PROXY_LOGIN_FAILURE_SECONDS
        if login.error is not None:
            _log.warning("cannot log in for a client", user=user, error=login.error.message)
        self._known[user] = login, trio.current_time() + keep_seconds
        for call in self._waiting.pop(user):
            call(login)

    async def _attempt(self, user: str) -> Login:
        request = etcdserverpb.AuthenticateRequest(name=user, password=self._passwords.get(user, ""))
        try:
            with trio.fail_after(limits.PROXY_LOGIN_SECONDS):
                answer = await self._calls.unary(_AUTHENTICATE, request.SerializeToString())
                token = etcdserverpb.AuthenticateResponse.FromString(answer).token
        except trio.TooSlowError:
            return Login(error=RpcError(Code.UNAVAILABLE, f"dualmode: no endpoint has logged {user!r} in in time"))
        except CallError as error:
            if error.message == _AUTH_IS_OFF:
                return Login()
            code = Code.UNAVAILABLE if error.code is Code.UNAVAILABLE else Code.PERMISSION_DENIED
            return Login(error=RpcError(code, f"dualmode: cannot log in as {user!r}: {error.message}"))
        except ValueError as error:
            return Login(error=RpcError(Code.INTERNAL, f"dualmode: the answer to a login cannot be read: {error}"))
        return Login(token=token)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_size


def _read(file: Path) -> dict[str, str]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    return dict(parse_credentials(text, str(file)))
