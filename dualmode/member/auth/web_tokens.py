"""Does: JWTs: signs them, checks them, and reads the keys they are signed with.

The log has no part in them: every member that has the key believes what they say, until they expire or the users and
roles have changed since (their revision is then old). `--auth-token jwt,sign-method=RS256,pub-key=F,priv-key=F,ttl=5m`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509 import load_pem_x509_certificate
from jwt.warnings import InsecureKeyLengthWarning

from dualmode import errors, limits
from dualmode.config.durations import SECOND, parse_duration
from dualmode.errors import StartError
from dualmode.member.auth.caller import Caller

_SHARED_KEY_METHODS: Final = frozenset(("HS256", "HS384", "HS512"))
_KEY_PAIR_METHODS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
#: The curve each method signs on: the library would sign with any, other verifiers would not take it.
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_DEFAULT_TTL: Final = "5m"
#: What etcd looks at: the signature and the time. Whatever else a token of somebody else's making says is its own.
_CHECKS: Final[Any] = {
    "verify_exp": True,
    "verify_nbf": True,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True, slots=True)
class WebTokenKeys:
    """What signs and what checks. `signing` is None on a member that may check tokens only."""

    method: str
    signing: Any
    checking: Any
    ttl_seconds: float


def read_keys(options: str) -> WebTokenKeys:
    """From the text of `--auth-token` behind "jwt,". Raises `StartError` naming the option or file."""
    given = _options(options)
    method = given.get("sign-method", "")
    try:
        ttl_seconds = parse_duration(given.get("ttl") or _DEFAULT_TTL) / SECOND
    except ValueError as error:
        raise StartError(f"--auth-token jwt: ttl: {error}") from None
    private, public = (_read(name, given.get(name, "")) for name in ("priv-key", "pub-key"))
    if method in _SHARED_KEY_METHODS:
        if not private:
            raise StartError(f"--auth-token jwt: {method} needs priv-key, the file of the shared secret")
        signing = checking = private
    elif method in _KEY_PAIR_METHODS:
        signing, checking = _key_pair(method, private, public)
    else:
        raise StartError(f'--auth-token jwt: unknown sign-method "{method}"')
    return WebTokenKeys(method, signing, checking, ttl_seconds)


def _options(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if not separator or "=" in value or name in given:
            raise StartError(f'--auth-token jwt: "{part}" is not name=value, or is there twice')
        given[name] = value
    return given


def _read(name: str, path: str) -> bytes:
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(f"--auth-token jwt: cannot read {name} {path}: {error.strerror}") from None


def _key_pair(method: str, private: bytes, public: bytes) -> tuple[Any, Any]:
    prepare = jwt.get_algorithm_by_name(method).prepare_key
    signing: Any = None
    checking: Any = None
    try:
        if private:
            signing = prepare(private)
        if public:
            checking = prepare(_public_key(public))
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise StartError(f"--auth-token jwt: a key is not one for {method}: {error}") from None
    if signing is not None and not hasattr(signing, "public_key"):
        raise StartError("--auth-token jwt: priv-key holds a public key")
    if checking is not None and hasattr(checking, "public_key"):
        raise StartError("--auth-token jwt: pub-key holds a private key")
    if signing is None and checking is None:
        raise StartError("--auth-token jwt: neither pub-key nor priv-key is given")
    if signing is not None and checking is not None and signing.public_key() != checking:
        raise StartError("--auth-token jwt: pub-key and priv-key do not belong together")
    if checking is None:
        checking = signing.public_key()
    _check_curve(method, checking)
    return signing, checking


def _public_key(pem: bytes) -> Any:
    """What the library takes: also the key in a certificate, as Go's does."""
    return load_pem_x509_certificate(pem).public_key() if b"BEGIN CERTIFICATE" in pem else pem


def _check_curve(method: str, key: Any) -> None:
    if method in _CURVES and key.curve.name != _CURVES[method]:
        raise StartError(f"--auth-token jwt: {method} needs a key on {_CURVES[method]}, not {key.curve.name}")
    if method == "EdDSA" and not isinstance(key, Ed25519PublicKey):
        raise StartError("--auth-token jwt: EdDSA needs an Ed25519 key")


class WebTokens:
    """JWTs of one key. `now` gives Unix seconds: what they say of time is for other machines too."""

    def __init__(self, keys: WebTokenKeys, now: Callable[[], float]) -> None:
        self._keys = keys
        self._now = now
        self._engine = jwt.PyJWT()
        # How long a shared secret is has been the operator's choice; saying so for every token helps nobody.
        warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
        #: Token -> its user and when it expires, the longest unused first.
        self._checked: dict[str, tuple[Caller, float]] = {}

    def sign(self, username: str, auth_revision: int) -> str:
        """A token for a user whose password was right. Raises TOKENS_NOT_SIGNED_HERE."""
        keys = self._keys
        if keys.signing is None:
            raise errors.TOKENS_NOT_SIGNED_HERE
        claims = {"username": username, "revision": auth_revision, "exp": int(self._now() + keys.ttl_seconds)}
        return self._engine.encode(claims, keys.signing, algorithm=keys.method)

    def assign(self, username: str, auth_revision: int, prefix: str, index: int) -> str:
        """See management.Tokens: who proposed the login signs by itself, outside the log."""
        return ""

    def caller_of(self, token: str, auth_revision: int) -> Caller | None:
        """See management.Tokens. The revision is the token's own, not the present one."""
        known = self._checked.get(token)
        if known is None:
            return self._check(token)
        caller, expires = known
        if expires <= self._now():
            del self._checked[token]
            return None
        self._checked[token] = self._checked.pop(token)
        return caller

    def _check(self, token: str) -> Caller | None:
        if len(token) > limits.WEB_TOKEN_CHARACTERS:
            return None
        keys = self._keys
        try:
            claims = self._engine.decode(token, keys.checking, algorithms=[keys.method], options=_CHECKS)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None
        caller = _caller_in(claims)
        if caller is not None:
            while len(self._checked) >= limits.VERIFIED_WEB_TOKENS:
                del self._checked[next(iter(self._checked))]
            self._checked[token] = (caller, float(claims.get("exp", float("inf"))))
        return caller

    def forget_user(self, username: str) -> None:
        """The auth revision has moved, and with it every token is old."""

    def clear(self) -> None:
        """The same."""


def _caller_in(claims: dict[str, Any]) -> Caller | None:
    """The two claims etcd asks for; None when they are not what they should be."""
    username, revision = claims.get("username"), claims.get("revision")
    if not isinstance(username, str) or isinstance(revision, bool) or not isinstance(revision, int | float):
        return None
    try:
        username.encode()
    except UnicodeEncodeError:
        return None
    if not 0 <= revision < 1 << 64:
        return None
    return Caller(username, int(revision))
