"""Postal addresses as they are written in English: a number, a street, and what follows."""

import re

from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.recognisers.pattern import END, START, Pattern

_WORD = r"(?:[A-Z][A-Za-z'’.-]{1,24}|\d{1,3}(?:st|nd|rd|th))"
_WAY = (
    r"(?:Streets?|St|Avenue|Ave|Roads?|Rd|Boulevard|Blvd|Lane|Ln|Drives?|Dr|Courts?|Ct|Place|Pl|"
    r"Square|Sq|Terrace|Ter|Way|Close|Crescent|Gardens?|Grove|Hill|Mews|Parkway|Pkwy|Highway|Hwy|"
    r"Circle|Cir|Row|Walk|Quay|Park|Trail|Alley|Plaza|Broadway|Green|Mall|Rise|View)\b\.?"
)
_INSIDE = (
    r"(?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Room|Rm|Studio|Building|Bldg)\.? ?|#)"
    r"[A-Za-z0-9-]{1,6}"
)
_STATE = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|"
    r"S[CD]|T[NX]|UT|V[AT]|W[AIVY]) \d{5}(?:-\d{4})?"
)
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}"
_NEXT = r"[,\n]{1,2}[ ]?"
_NAME = rf"{_WORD}(?: {_WORD}){{0,2}}"

_STREET = (
    rf"{START}(?:{_INSIDE}{_NEXT})?\d{{1,6}}[A-Za-z]?(?:-\d{{1,4}})?,? (?:{_WORD} ){{1,4}}{_WAY}"
    rf"(?:(?:{_NEXT}| ){_INSIDE})?(?:{_NEXT}{_NAME}){{0,2}}"
    rf"(?:(?:{_NEXT}| )(?:{_STATE}|{_POSTCODE}))?{END}"
)
_TOWN = rf"{START}{_NAME},? (?:{_STATE}|{_POSTCODE}){END}"
_BOX = rf"{START}P\.? ?O\.? Box \d{{1,8}}(?:,? {_NAME})?(?:,? {_STATE})?{END}"

RECOGNISERS = (
    Pattern(PrivateType.ADDRESS, re.compile(_STREET), 0.8),
    Pattern(PrivateType.ADDRESS, re.compile(_BOX), 0.8),
    Pattern(PrivateType.ADDRESS, re.compile(_TOWN), 0.6),
)
