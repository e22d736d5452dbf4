"""Passwords, keys and tokens."""

import math
import re
from collections import Counter

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import BETWEEN, Check, Pattern

_KNOWN = (
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}",  # Amazon
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}",
    r"glpat-[A-Za-z0-9_-]{20,64}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,128}",  # Stripe
    r"sk-[A-Za-z0-9_-]{20,250}",
    r"hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250}",
    r"LTAI[A-Za-z0-9]{12,24}|AKID[A-Za-z0-9]{32}",  # Alibaba Cloud, Tencent Cloud
    r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",
    r"eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,4096}",  # JWT
)
_PASSWORD_CUES = (
    r"password|passwd|passphrase|pwd|pin(?: code)?|passcode|one-time code|otp|"
    r"verification code|security code|cvv2?|cvc|密码|口令|验证码|动态码|安全码|密钥"
)
_TOKEN_CUES = (
    r"(?:api|access|secret|private|client|auth|encryption|signing)[ _-]?(?:key|token|secret)|"
    r"secret|token|bearer|私钥|令牌|密钥"
)


def bits_a_character(text: str) -> float:
    """Shannon entropy of the characters of ``text``."""
    total = len(text)
    return -sum(n / total * math.log2(n / total) for n in Counter(text).values())


def _password(text: str) -> str | None:
    """No plain word: "the password is wrong" tells none."""
    plain = text.isalpha() and (text.islower() or text.istitle())
    return None if plain or len(text) < 3 else text


def _token(text: str) -> str | None:
    return text if bits_a_character(text) >= 3 and any(map(str.isdigit, text)) else None


def _random(text: str) -> str | None:
    """Letters of both cases and a digit, mixed as no word or number is; a digest in hex is none."""
    mixed = sum(map(str.isupper, text)) >= 3 and sum(map(str.islower, text)) >= 3
    if not mixed or not any(map(str.isdigit, text)):
        return None
    return text if bits_a_character(text) >= 4 else None


def _exact(text: str) -> str:
    return text


def _secret(expression: str, certainty: float, check: Check = _exact) -> Pattern:
    return Pattern(PrivateType.SECRET, re.compile(expression), certainty, check)


def _after(cues: str, value: str) -> str:
    return rf"(?i:(?<![a-z])(?:{cues})(?: for \w{{1,24}})?{BETWEEN})(?P<value>{value})"


_EDGE = r"(?<![A-Za-z0-9_-])"
_NO_MORE = r"(?![A-Za-z0-9_-])"

RECOGNISERS = (
    _secret(f"{_EDGE}(?:{'|'.join(_KNOWN)}){_NO_MORE}", 1.0),
    _secret(
        r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[^-]{1,16384}"
        r"(?:-----END [A-Z ]{0,32}PRIVATE KEY-----)?",
        1.0,
    ),
    _secret(r"(?<=://)[^\s:/@]{1,128}:(?P<value>[^\s:/@]{1,128})(?=@)", 0.95),
    _secret(_after(_PASSWORD_CUES, r"[!-~]{2,63}[A-Za-z0-9!@#$%^&*_+=-]"), 0.85, _password),
    _secret(_after(_TOKEN_CUES, r"[A-Za-z0-9_./+=-]{12,512}"), 0.9, _token),
    _secret(rf"(?<![A-Za-z0-9_/+.=-])[A-Za-z0-9_/+-]{{24,512}}={{0,2}}{_NO_MORE}", 0.8, _random),
)
