"""Does: puts the parts of authentication together that the applier needs, from the member's options."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dualmode.member.auth.accounts import Accounts
from dualmode.member.auth.management import Management, Tokens
from dualmode.member.auth.passwords import hash_now
from dualmode.member.auth.simple_tokens import SimpleTokens
from dualmode.member.auth.web_tokens import WebTokens, read_keys
from dualmode.member.buckets import BucketRows

_WEB_TOKENS = "jwt"


@dataclass(frozen=True, slots=True)
class AuthOptions:
    """How users are recognised."""

    token: str = "simple"  #: as --auth-token has it  # noqa: S105
    token_ttl_seconds: float = 300.0  #: of simple tokens
    bcrypt_cost: int = 10
    trusts_certificates: bool = False  #: clients need a certificate, whose common name is a user


def make_management(rows: BucketRows, options: AuthOptions, now: Callable[[], float]) -> Management:
    """`now` is the loop's clock in seconds. Raises `StartError` for JWT options or keys that cannot be."""
    return Management(Accounts(rows), _tokens(options, now), lambda password: hash_now(password, options.bcrypt_cost))


def _tokens(options: AuthOptions, now: Callable[[], float]) -> Tokens:
    kind, _, rest = options.token.partition(",")
    if kind == _WEB_TOKENS:
        return WebTokens(read_keys(rest), time.time)
    return SimpleTokens(options.token_ttl_seconds, now)
