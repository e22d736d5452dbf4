"""Write docs/search-file.md from the model: every key of a search file."""

from pathlib import Path

from docs_reference import sections
from pretune.spec.search import SearchSpec

PAGE = Path(__file__).parents[1] / "docs" / "search-file.md"

HEAD = """\
# The search file

<!-- Written by tools/docs_search.py from src/pretune/spec; change it there. -->

What the keys mean together: [tuning](tune.md#what-may-be-chosen).
"""

SECTIONS = (("The file", SearchSpec),)


def page() -> str:
    """The whole page as Markdown."""
    return sections(HEAD, SECTIONS)
