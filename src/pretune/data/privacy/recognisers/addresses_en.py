"""Postal addresses as they are written in English: a number, a street, and what follows."""

import re

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import END, START, Pattern
from pretune.data.privacy.recognisers.wordlists import words

_WORD = r"(?:[A-Z][A-Za-z'’-]{1,24}|[NSEW]\.?|St\.|Mt\.|\d{1,3}(?:st|nd|rd|th))"
_WAY = "(?:" + "|".join(sorted(words("streets"), key=lambda w: (-len(w), w))) + r")\b\.?"
_INSIDE = (
    r"(?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Room|Rm|Studio|Building|Bldg)\.? ?|#)"
    r"[A-Za-z0-9-]{1,6}"
)
_STATE = (
    r"(?:A[AEKLPRSZ]|C[AOT]|D[CE]|F[LM]|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|"
    r"P[ARW]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]) \d{5}(?:-\d{4})?"
)
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
_NEXT = r"[,\n]{1,2}[ ]?"
_NAME = rf"{_WORD}(?: {_WORD}){{0,2}}"

_STREET = (
    rf"{START}(?:{_INSIDE}{_NEXT})?\d{{1,6}}[A-Za-z]?(?:-\d{{1,4}})?,? (?:{_WORD} ){{1,4}}{_WAY}"
    rf"(?:(?:{_NEXT}| ){_INSIDE})?(?:{_NEXT}{_NAME}){{0,2}}"
    rf"(?:(?:{_NEXT}| )(?:{_STATE}|{_POSTCODE}))?{END}"
)
_WITH_CODE = (
    rf"{START}(?:{_INSIDE}{_NEXT}|\d{{1,6}}[A-Za-z]? ){_WORD}(?: {_WORD}){{0,3}}"
    rf"(?:(?:{_NEXT}| ){_INSIDE})?(?:{_NEXT}{_NAME}){{0,2}}"
    rf"(?:{_NEXT}| )(?:{_STATE}|{_POSTCODE}){END}"
)
_TOWN = rf"{START}{_NAME},? (?:{_STATE}|{_POSTCODE}){END}"
_BOX = (
    rf"{START}(?:P\.? ?O\.? Box \d{{1,8}}(?:,? {_NAME})?|Unit \d{{1,6}} Box \d{{1,6}})"
    rf"(?:,? {_STATE})?{END}"
)
_FORCES = rf"{START}(?:US[A-Z]{{1,3}}|PSC|CMR|Unit) [A-Za-z0-9 ,]{{1,30}}, [ADF]PO,? {_STATE}{END}"

_NUMBER = re.compile(r"\d")

RECOGNISERS = tuple(
    Pattern(PrivateType.ADDRESS, re.compile(expression), certainty, needs=_NUMBER)
    for expression, certainty in (
        (_STREET, 0.8),
        (_WITH_CODE, 0.8),
        (_BOX, 0.8),
        (_FORCES, 0.8),
        (_TOWN, 0.6),
    )
)
