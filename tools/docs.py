"""Write every page of docs/ that the code itself can tell: ``python tools/docs.py``.

A test fails while a page says something else than the code.
"""

import docs_commands
import docs_distil
import docs_matrix
import docs_reference
import docs_rewriting
import docs_rules
import docs_search

PAGES = (
    docs_reference,
    docs_rules,
    docs_distil,
    docs_rewriting,
    docs_search,
    docs_matrix,
    docs_commands,
)
"""Modules with ``PAGE``, where the page is, and ``page()``, what it says."""


def main() -> None:
    """Write the pages that changed."""
    for module in PAGES:
        text = module.page()
        if not module.PAGE.exists() or module.PAGE.read_text(encoding="utf-8") != text:
            module.PAGE.write_text(text, encoding="utf-8")
            print(f"wrote {module.PAGE.name}")


if __name__ == "__main__":
    main()
