"""What stands in the place of a private value: ``[PERSON_7k2mq9x4tb]``.

The name is a keyed digest of type and value: one key gives one value one pseudonym in every file,
process and order, and nothing has to be remembered for it. Brackets and type tell people, models
and a second run that something was replaced, and no pseudonym is anybody's real number.
"""

import hashlib
import hmac
import re

from pretune.data.privacy.found import PrivateType

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, in which no two characters look alike."""

_LENGTH = 10
"""50 bits: among a million values of a type two share a pseudonym with a chance of 4e-4, and the
vault refuses the second."""

PSEUDONYM = re.compile(rf"\[(?P<type>{'|'.join(PrivateType)})_[{_ALPHABET}]{{{_LENGTH}}}\]")


def pseudonym(key: bytes, kind: PrivateType, value: str) -> str:
    """The pseudonym of ``value`` under ``key`` (HMAC-SHA-256)."""
    mac = hmac.digest(key, f"{kind}\0{value}".encode(), hashlib.sha256)
    number = int.from_bytes(mac[:8], "big")
    name = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_LENGTH))
    return f"[{kind}_{name}]"
