"""JWTs of every method etcd has, and those that must not be believed."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from dualmode import errors, limits
from dualmode.errors import StartError
from dualmode.member.auth.caller import Caller
from dualmode.member.auth.web_tokens import WebTokens, read_keys

MAKERS: dict[str, Any] = {
    "RS": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}
KEY_OF = {"RS": "RS", "PS": "RS"}
METHODS = [f"{family}{bits}" for family in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)] + ["EdDSA"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two key pairs of each kind (the second with an x in its name), a shared secret, a certificate."""
    directory = tmp_path_factory.mktemp("keys")
    for name, make in MAKERS.items():
        for suffix in ("", "x"):
            key = make()
            private = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            (directory / f"{name}{suffix}.key").write_bytes(private)
            (directory / f"{name}{suffix}.pub").write_bytes(public)
    (directory / "secret").write_bytes(b"short\n")
    leaf = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("a", key_type=trustme.KeyType.RSA)
    (directory / "cert.key").write_bytes(leaf.private_key_pem.bytes())
    (directory / "cert.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
    return directory


def options(files: Path, method: str, *, private: bool = True, public: bool = True, ttl: str = "5m") -> str:
    if method.startswith("HS"):
        return f"sign-method={method},priv-key={files}/secret,ttl={ttl}"
    name = KEY_OF.get(method[:2], method)
    parts = [f"sign-method={method}"]
    parts += [f"priv-key={files}/{name}.key"] if private else []
    parts += [f"pub-key={files}/{name}.pub"] if public else []
    return ",".join([*parts, f"ttl={ttl}"])


def tokens(options_text: str) -> WebTokens:
    return WebTokens(read_keys(options_text), time.time)


@pytest.mark.parametrize("method", METHODS)
def test_signed_and_believed(files: Path, method: str) -> None:
    ours = tokens(options(files, method))
    text = ours.sign("alice", 7)
    claims = jwt.decode(text, options={"verify_signature": False})
    assert jwt.get_unverified_header(text)["alg"] == method
    assert set(claims) == {"username", "revision", "exp"}
    assert (claims["username"], claims["revision"]) == ("alice", 7)
    assert claims["exp"] == pytest.approx(time.time() + 300, abs=5)
    # Whatever the present revision is: it says its own, and is old or not.
    assert ours.caller_of(text, 99) == Caller("alice", 7)
    assert ours.caller_of(text, 99) == Caller("alice", 7), "from memory"
    assert tokens(options(files, method)).caller_of(text, 1) == Caller("alice", 7), "on another member"


@pytest.mark.parametrize("method", [method for method in METHODS if not method.startswith("HS")])
def test_a_member_with_the_public_key_alone_believes_and_does_not_sign(files: Path, method: str) -> None:
    text = tokens(options(files, method, public=False)).sign("alice", 7)
    other = tokens(options(files, method, private=False))
    assert other.caller_of(text, 7) == Caller("alice", 7)
    with pytest.raises(type(errors.TOKENS_NOT_SIGNED_HERE)) as caught:
        other.sign("alice", 7)
    assert caught.value == errors.TOKENS_NOT_SIGNED_HERE


def test_the_public_key_may_come_in_a_certificate(files: Path) -> None:
    text = tokens(f"sign-method=RS256,priv-key={files}/cert.key").sign("alice", 7)
    assert tokens(f"sign-method=RS256,pub-key={files}/cert.pem").caller_of(text, 7) == Caller("alice", 7)


def encoded(files: Path, claims: Any, method: str = "RS256", key: str = "RS.key") -> str:
    return jwt.encode(claims, (files / key).read_bytes(), algorithm=method)


def hand_made(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(part).encode() for part in (header, claims)] + [signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


GOOD = {"username": "alice", "revision": 7, "exp": 4_000_000_000}


def test_claims(files: Path) -> None:
    """The two etcd asks for have to be there and of their types; others are not looked at."""
    ours = tokens(options(files, "RS256"))
    for claims in (GOOD, GOOD | {"revision": 7.0}, GOOD | {"aud": "x", "iat": 4e9, "iss": "me", "sub": 5, "jti": 3}):
        assert ours.caller_of(encoded(files, claims), 7) == Caller("alice", 7)
    forever = {key: GOOD[key] for key in ("username", "revision")}
    assert ours.caller_of(encoded(files, forever), 7) == Caller("alice", 7)
    wrong: list[dict[str, Any]] = [
        {"username": 5},
        {"username": None},
        {"username": "\ud800"},
        {"revision": "7"},
        {"revision": True},
        {"revision": None},
        {"revision": -1},
        {"revision": 2**64},
        {"revision": float("nan")},
        {"revision": float("inf")},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"nbf": 4_000_000_000},
    ]
    for changed in wrong:
        assert ours.caller_of(encoded(files, GOOD | changed), 7) is None, changed
    for missing in ("username", "revision"):
        left = {key: value for key, value in GOOD.items() if key != missing}
        assert ours.caller_of(encoded(files, left), 7) is None


def test_what_is_not_believed(files: Path) -> None:
    ours = tokens(options(files, "RS256"))
    good = encoded(files, GOOD)
    head, body, signature = good.split(".")
    public_as_secret = base64.urlsafe_b64encode((files / "RS.pub").read_bytes()).decode()
    for text in (
        "",
        ".",
        "..",
        "a.b.c",
        "\udcff.\udcff.\udcff",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body[:-2]}AA.{signature}",
        hand_made({"alg": "none", "typ": "JWT"}, GOOD),
        hand_made({"alg": "HS256", "typ": "JWT"}, GOOD, public_as_secret.encode()),
        hand_made({"alg": "RS256", "typ": "JWT", "crit": ["x"]}, GOOD),
        encoded(files, GOOD, "PS256"),
        encoded(files, GOOD, "RS512"),
        encoded(files, GOOD, "RS256", "RSx.key"),
        good + "x" * limits.WEB_TOKEN_CHARACTERS,
        "[" * 5000 + ".a.b",
    ):
        assert ours.caller_of(text, 7) is None, text[:50]


def test_remembered_no_longer_than_it_lives(files: Path) -> None:
    clock = [time.time()]
    ours = WebTokens(read_keys(options(files, "ES256", ttl="1h")), lambda: clock[0])
    text = ours.sign("alice", 7)
    assert ours.caller_of(text, 7) is not None
    clock[0] += 3601
    assert ours.caller_of(text, 7) is None


def test_remembers_a_bounded_number(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VERIFIED_WEB_TOKENS", 2)
    ours = tokens(options(files, "HS256"))
    for name in ("a", "b", "c"):
        ours.caller_of(ours.sign(name, 7), 7)
    assert len(ours._checked) == 2


def test_the_log_makes_none(files: Path) -> None:
    ours = tokens(options(files, "HS256"))
    assert ours.assign("alice", 7, "prefix", 5) == ""
    text = ours.sign("alice", 7)
    ours.forget_user("alice")
    ours.clear()
    assert ours.caller_of(text, 8) == Caller("alice", 7), "its revision is old by then"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sign-method=RS256", "neither"),
        ("sign-method=RS257,priv-key={}/RS.key", "unknown sign-method"),
        ("sign-method=none,priv-key={}/RS.key", "unknown sign-method"),
        ("priv-key={}/RS.key", "unknown sign-method"),
        ("sign-method=RS256,priv-key={}/missing", "cannot read priv-key"),
        ("sign-method=RS256,pub-key={}/missing", "cannot read pub-key"),
        ("sign-method=RS256,priv-key={}/secret", "not one for RS256"),
        ("sign-method=RS256,priv-key={}/ES256.key", "not one for RS256"),
        ("sign-method=ES256,priv-key={}/RS.key", "not one for ES256"),
        ("sign-method=ES256,priv-key={}/ES384.key", "secp256r1"),
        ("sign-method=EdDSA,priv-key={}/Ed448.key", "Ed25519"),
        ("sign-method=RS256,priv-key={}/RS.pub", "priv-key holds a public key"),
        ("sign-method=RS256,pub-key={}/RS.key", "pub-key holds a private key"),
        ("sign-method=RS256,priv-key={}/RS.key,pub-key={}/RSx.pub", "belong together"),
        ("sign-method=HS256,pub-key={}/secret", "needs priv-key"),
        ("sign-method=RS256,priv-key={}/RS.key,ttl=soon", "ttl"),
        ("sign-method=RS256,priv-key", "name=value"),
        ("sign-method=RS256,sign-method=RS256", "there twice"),
    ],
)
def test_options_that_cannot_be(files: Path, text: str, complaint: str) -> None:
    with pytest.raises(StartError, match=complaint):
        read_keys(text.replace("{}", str(files)))
