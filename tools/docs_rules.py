"""Write docs/rules-file.md from the models: every key of a rules file."""

from pathlib import Path

from docs_reference import sections
from pretune.spec.rules import (
    ComputeSpec,
    DateSpec,
    HoldOutSpec,
    NegativeSpec,
    NumberSpec,
    PhraseSpec,
    RuleSpec,
    RulesSpec,
    SlotSpec,
    SpansSpec,
)

PAGE = Path(__file__).parents[1] / "docs" / "rules-file.md"

HEAD = """\
# The rules file

<!-- Written by tools/docs_rules.py from src/pretune/spec/rules.py; change it there. -->

What the keys mean together, with an example: [making rows by rules](rules.md).
"""

SECTIONS = (
    ("The file", RulesSpec),
    ("`rules`", RuleSpec),
    ("`rules`: `compute`", ComputeSpec),
    ("`rules`: `fields`: annotations", SpansSpec),
    ("`rules`: `negatives`", NegativeSpec),
    ("`slots`", SlotSpec),
    ("`slots`: phrases", PhraseSpec),
    ("`slots`: `number`", NumberSpec),
    ("`slots`: `date`", DateSpec),
    ("`hold_out`", HoldOutSpec),
)


def page() -> str:
    """The whole page as Markdown."""
    return sections(HEAD, SECTIONS)
