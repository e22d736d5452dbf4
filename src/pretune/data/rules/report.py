"""What a sample of draws shows of rules, for people and programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.data.rules.leak import Probe

_SHOWN = 6
"""Rows that the terminal shows; they are made, so they are nobody's."""


class Fault(StrEnum):
    """What a finding is about; rows are not made while there is a contradiction."""

    CONTRADICTION = "contradiction"
    UNREACHABLE = "unreachable"
    COVERAGE = "coverage"
    LEAKAGE = "leakage"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, in a sentence."""

    fault: Fault
    said: str


@dataclass(frozen=True, slots=True)
class RuleCount:
    """Draws of one rule: how many kept its conditions, and how many different prompts came out."""

    draws: int
    kept: int
    different: int


@dataclass(frozen=True, slots=True)
class RulesReport:
    """What a sample of draws shows. ``slots`` and ``pairs`` are shares seen: of each slot's
    phrases, and of each two slots' combinations."""

    name: str
    rules: Mapping[str, RuleCount]
    answers: Mapping[str, int]
    slots: Mapping[str, float]
    pairs: Mapping[tuple[str, str], float]
    probe: Probe
    findings: tuple[Finding, ...]
    examples: tuple[Mapping[str, Any], ...]

    @property
    def contradictions(self) -> list[str]:
        """What must be mended before rows are made."""
        return [one.said for one in self.findings if one.fault is Fault.CONTRADICTION]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "name": self.name,
            "rules": {name: asdict(count) for name, count in self.rules.items()},
            "answers": dict(self.answers),
            "slots": dict(self.slots),
            "pairs": [{"slots": pair, "seen": share} for pair, share in self.pairs.items()],
            "probe": asdict(self.probe),
            "findings": [asdict(one) for one in self.findings],
            "examples": list(self.examples),
        }

    def render(self) -> RenderableType:
        """The report for a terminal: the rules with one row of each, coverage, and the findings."""
        table = Table(title=Text(f"Rules of {self.name}"), title_justify="left")
        for name, side in (("rule", "left"), ("draws", "right"), ("kept", "right")):
            table.add_column(name, justify=side)  # type: ignore[arg-type]
        table.add_column("different prompts", justify="right")
        for name, count in self.rules.items():
            cells = (count.draws, count.kept, count.different)
            table.add_row(Text(name), *(f"{cell:,}" for cell in cells))
        lines = [
            f"phrases seen: {_range(self.slots)}; pairs seen: {_range(self.pairs)}",
            f"answers: {len(self.answers)}, the most common in {self.probe.majority:.1%} of draws",
            f"single words: {self.probe.skipped or f'{self.probe.accuracy:.1%} right'}",
        ]
        findings = [Text(f"• {one.fault}: {one.said}") for one in self.findings]
        samples = [Text(json.dumps(row, ensure_ascii=False)) for row in self.examples[:_SHOWN]]
        return Group(table, *map(Text, lines), *findings, *samples)


def _range(shares: Mapping[Any, float]) -> str:
    """The mean of some shares, and the least."""
    if not shares:
        return "none"
    mean = sum(shares.values()) / len(shares)
    least = min(shares, key=lambda name: shares[name])
    name = " and ".join(least) if isinstance(least, tuple) else least
    return f"{mean:.0%} on average, {shares[least]:.0%} of {name}"
