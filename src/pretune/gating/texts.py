"""The texts that ship with the gate: general passages, and probes of safety."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pretune.spec.yamlfile import read_mapping

_WORDS = Path(__file__).parent / "words"


class Passage(NamedTuple):
    """General text: ``head`` is read, ``tail`` is what follows it."""

    language: str
    head: str
    tail: str


class Probes(NamedTuple):
    """Texts of one ``kind`` of probe, and what they try."""

    kind: str
    says: str
    texts: tuple[str, ...]


@cache
def general_passages() -> tuple[Passage, ...]:
    """All passages, English ones first."""
    given = read_mapping(_WORDS / "general.yaml")
    return tuple(
        Passage(language, one["head"], one["tail"])
        for language, listed in given.items()
        for one in listed
    )


@cache
def safety_probes() -> Mapping[str, Probes]:
    """Probes by kind."""
    given = read_mapping(_WORDS / "safety.yaml")
    return {
        kind: Probes(kind, one["says"], tuple(one["probes"]))
        for kind, one in given.items()
        if kind != "refusals"
    }


@cache
def refusal_words() -> tuple[str, ...]:
    """Words, in normal form, of which an answer that refuses has one."""
    return tuple(read_mapping(_WORDS / "safety.yaml")["refusals"])
