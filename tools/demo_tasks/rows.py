"""A task's rows: how many, from where, and never the same prompt twice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from demo_tasks.parts import Part

Row = dict[str, str]
SIZES: Mapping[Part, int] = {Part.TRAIN: 800, Part.VALIDATION: 100, Part.TEST: 240}
_PATIENCE = 200
"""Repeated rows in a row after which the patterns are taken to be used up."""


class Source(Protocol):
    """Makes rows of one part for ever."""

    def __call__(self, part: Part, rng: Random) -> Iterator[Row]:
        """Rows of ``part``, drawn from ``rng``."""


@dataclass(frozen=True)
class DemoTask:
    """One task of the demo: ``answer`` is the column that is not part of the prompt."""

    name: str
    source: Source
    answer: str

    def rows(self, sizes: Mapping[Part, int] = SIZES) -> dict[Part, list[Row]]:
        """Rows of every part, the same at every call.

        Raises:
            ValueError: the patterns do not yield so many different prompts.
        """
        seen: set[tuple[str, ...]] = set()
        return {part: self._part(part, size, seen) for part, size in sizes.items()}

    def _part(self, part: Part, size: int, seen: set[tuple[str, ...]]) -> list[Row]:
        rows: list[Row] = []
        repeated = 0
        for row in self.source(part, Random(f"{self.name} {part}")):
            prompt = tuple(text for column, text in row.items() if column != self.answer)
            if prompt in seen:
                repeated += 1
                if repeated > _PATIENCE:
                    raise ValueError(
                        f'task "{self.name}": only {len(rows)} of {size} {part} rows differ; '
                        "add patterns or fillers to its word file"
                    )
                continue
            repeated = 0
            seen.add(prompt)
            rows.append(row)
            if len(rows) == size:
                break
        return rows
