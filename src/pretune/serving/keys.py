"""API keys: kept as hashes, compared in constant time."""

import hashlib
import hmac
from collections.abc import Iterable

from pretune.core.errors import SpecError

SHORTEST_KEY = 16


def hashed(key: str) -> str:
    """What is kept of a key. Keys are long and random, so one round of SHA-256 is enough.

    Raises:
        SpecError: the key is too short to be one.
    """
    if len(key) < SHORTEST_KEY:
        raise SpecError(
            f"an API key has {len(key)} characters; use {SHORTEST_KEY} random ones at least, as "
            'from: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The hashes of the keys that are let in; none: everybody is."""

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self._hashes = tuple(hashes)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def begins(self, start: str) -> bool:
        """Whether the hash of some key begins so."""
        return any(known.startswith(start) for known in self._hashes)

    def share(self, others: "Keys") -> bool:
        """Whether any key is one of ``others`` too."""
        return not set(self._hashes).isdisjoint(others._hashes)

    def holder(self, authorization: str | None) -> str | None:
        """The hash of the key that an ``Authorization`` header carries, "" where none are asked
        for, ``None`` for a wrong one. Takes as long for any wrong one."""
        if not self._hashes:
            return ""
        scheme, _, key = (authorization or "").partition(" ")
        found = hashlib.sha256(key.strip().encode()).hexdigest()
        matches = [hmac.compare_digest(found, known) for known in self._hashes]
        return found if scheme.lower() == "bearer" and any(matches) else None


NO_KEYS = Keys()
