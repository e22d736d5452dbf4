"""Write docs/distil-file.md from the models: every key of a distil file."""

from pathlib import Path

from docs_reference import sections
from pretune.spec.distil import CheckSpec, ChunkSpec, DistilSpec, LimitSpec
from pretune.spec.masking import MaskSpec
from pretune.spec.teacher import BudgetSpec, EndpointSpec, PriceSpec, TeacherSpec

PAGE = Path(__file__).parents[1] / "docs" / "distil-file.md"

HEAD = """\
# The distil file

<!-- Written by tools/docs_distil.py from src/pretune/spec; change it there. -->

What the keys mean together, with an example: [distilling documents](distil.md).
"""

SECTIONS = (
    ("The file", DistilSpec),
    ("`teacher`", TeacherSpec),
    ("`teacher`: `endpoint`", EndpointSpec),
    ("`teacher`: `endpoint`: `prices`", PriceSpec),
    ("`budget`", BudgetSpec),
    ("`chunks`", ChunkSpec),
    ("`limits`: one document", LimitSpec),
    ("`checks`", CheckSpec),
    ("`mask`", MaskSpec),
)


def page() -> str:
    """The whole page as Markdown."""
    return sections(HEAD, SECTIONS)
