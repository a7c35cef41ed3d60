"""Decides: which passwords have been found right lately, so that not every login costs a bcrypt.

Kept is not the password but a keyed hash of it, by the bcrypt hash it was found right for: when the user's password
changes, so does that hash, and what was kept for the old one is never asked for again.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b

from dualmode import limits


class VerifiedPasswords:
    """`key` is random and lives as long as the process: 16 to 64 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        #: bcrypt hash -> keyed hash of the password, the longest unused first.
        self._right: dict[bytes, bytes] = {}

    def _digest(self, password: bytes, hashed: bytes) -> bytes:
        # The bcrypt hash, salt included, is part of what is hashed: equal passwords of two users look different.
        return blake2b(len(hashed).to_bytes(4, "big") + hashed + password, key=self._key, digest_size=32).digest()

    def add(self, password: bytes, hashed: bytes) -> None:
        """bcrypt says that the password is right for this hash."""
        self._right.pop(hashed, None)
        while len(self._right) >= limits.VERIFIED_PASSWORDS:
            del self._right[next(iter(self._right))]
        self._right[hashed] = self._digest(password, hashed)

    def knows(self, password: bytes, hashed: bytes) -> bool:
        """Whether it was found right before. False says nothing about the password."""
        known = self._right.get(hashed)
        if known is None or not hmac.compare_digest(known, self._digest(password, hashed)):
            return False
        self._right[hashed] = self._right.pop(hashed)
        return True
