"""Write docs/rewriting-file.md from the models: every key of a rewriting file."""

from pathlib import Path

from docs_reference import sections
from pretune.spec.masking import MaskSpec
from pretune.spec.rewriting import RewriteSpec, TranslatorSpec, VariantCheckSpec

PAGE = Path(__file__).parents[1] / "docs" / "rewriting-file.md"

HEAD = """\
# The rewriting file

<!-- Written by tools/docs_rewriting.py from src/pretune/spec; change it there. -->

What the keys mean together: [rewriting by a teacher](workshop.md#rewriting-by-a-teacher).
`teacher` and `budget` are those of [the distil file](distil-file.md#teacher).
"""

SECTIONS = (
    ("The file", RewriteSpec),
    ("`translators`", TranslatorSpec),
    ("`checks`", VariantCheckSpec),
    ("`mask`", MaskSpec),
)


def page() -> str:
    """The whole page as Markdown."""
    return sections(HEAD, SECTIONS)
