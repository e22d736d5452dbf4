"""Typed entity substitution: names, amounts, dates for others, the same throughout a row."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from pretune.data.augment.edits import Edit, Span
from pretune.data.augment.entities import Entity, Names, annotated, another, found_in
from pretune.data.augment.operator import Operator
from pretune.data.augment.varied import Varied
from pretune.data.template import plain

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TRIES = 20


class Substitution(Operator):
    """Entities for others of their type; answers and annotations move along."""

    name = "entity"
    changes = (
        "persons, companies, amounts, dates, accounts, products and places, found by annotation, "
        "form or list, for others; one name stays one name throughout the row"
    )
    not_for = (
        "labels that hang on who or where it is: facts about real companies, sanctions, geography",
        "labels that hang on how much or when: with labels, amounts and dates stay unless named",
        "answers that compare or compute: amounts and dates stay where an answer has a number that "
        "its text does not",
    )

    def __init__(self, kinds: Sequence[Entity], own_names: Path | None = None) -> None:
        self._kinds = frozenset(kinds)
        self._names = Names.read(own_names)

    def vary(self, row: Varied, rng: Random) -> Mapping[str, Any] | None:
        """Draw another for each entity of the asking texts, and put it wherever the row says it."""
        kinds = self._kinds
        if _computed(row):
            kinds -= {Entity.AMOUNT, Entity.DATE, Entity.ACCOUNT}
        others = self._others(row, kinds, rng)
        if not others:
            return None
        pattern = _said(others)
        edits: dict[str, list[Edit]] = {}
        for column, text in row.texts.items():
            made = [Edit(*match.span(), others[match[0]]) for match in pattern.finditer(text)]
            if made:
                edits[column] = made
        fields = row.reworded(edits)
        if fields is None:
            return None
        for column in row.columns.answered:
            fields[column] = _moved(fields.get(column), pattern, others)
        return {name: value for name, value in fields.items() if name in row.fields}

    def _others(self, row: Varied, kinds: frozenset[Entity], rng: Random) -> dict[str, str]:
        """What stands for each entity of the row, a person's names by themselves included."""
        whole = " ".join([*row.texts.values(), *row.answers])
        others: dict[str, str] = {}
        persons: list[str] = []
        for column, text in row.texts.items():
            for kind, span in self._entities(row, column, text):
                said = text[span.start : span.end]
                if kind not in kinds or said in others:
                    continue
                for _ in range(_TRIES):
                    new = another(kind, said, self._names, rng)
                    if new and new not in whole and new not in others.values():
                        others[said] = new
                        persons += [said] if kind is Entity.PERSON else []
                        break
        for said in persons:
            parts, new_parts = said.split(), others[said].split()
            if len(parts) == len(new_parts) == 2:
                for part, new_part in zip(parts, new_parts, strict=True):
                    others.setdefault(part, new_part)
        return others

    def _entities(self, row: Varied, column: str, text: str) -> list[tuple[Entity, Span]]:
        """By the row's annotations, then by form and list where these are silent."""
        given = [
            (kind, span)
            for name, span in row.typed_spans(column)
            if (kind := annotated(name)) is not None
        ]
        annotations = row.spans(column)
        found = [
            (kind, span)
            for kind, span in found_in(text, self._names)
            if not any(other.touches(*span) for other in annotations)
        ]
        return sorted([*given, *found], key=lambda one: one[1])


def _computed(row: Varied) -> bool:
    """Whether an answer has a number that no asking text has: it follows from others."""
    asked = {number for text in row.texts.values() for number in _NUMBER.findall(text)}
    return any(number not in asked for text in row.answers for number in _NUMBER.findall(text))


def _said(others: Mapping[str, str]) -> re.Pattern[str]:
    """Any of the entities, the longest first, not inside a longer word or number."""
    ordered = sorted(others, key=lambda said: (-len(said), said))
    parts = []
    for said in ordered:
        before = r"(?<![A-Za-z0-9])" if said[0].isascii() and said[0].isalnum() else ""
        after = r"(?![A-Za-z]|[.,]?\d)" if said[-1].isascii() and said[-1].isalnum() else ""
        parts.append(f"{before}{re.escape(said)}{after}")
    return re.compile("|".join(parts))


def _moved(value: Any, pattern: re.Pattern[str], others: Mapping[str, str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_moved(one, pattern, others) for one in value]
    if not isinstance(value, str):
        text = plain(value)
        return value if not pattern.search(text) else pattern.sub(lambda m: others[m[0]], text)
    return pattern.sub(lambda match: others[match[0]], value)
