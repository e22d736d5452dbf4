"""What all pages of figures share: filters for people's numbers."""

import functools

from jinja2 import Environment

from pretune.core import pages
from pretune.evaluation.report import scales


@functools.cache
def environment(package: str, *, escape: bool) -> Environment:
    """Templates of ``package`` with the filters of every report; ``escape`` for HTML."""
    made = pages.environment(package, escape=escape)
    made.filters |= {
        "count": scales.count,
        "size": scales.size,
        "duration": scales.duration,
        "cell": cell,
    }
    return made


def cell(text: object) -> str:
    """Text inside a Markdown table cell: one line, with no markup of its own."""
    flat = " ".join(str(text).split())
    for mark in "\\`*[<|":
        flat = flat.replace(mark, "\\" + mark)
    return flat
