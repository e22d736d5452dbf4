"""What all pages share: where templates are found, and filters for people's numbers."""

import functools

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pretune.evaluation.report import scales


@functools.cache
def environment(package: str, *, escape: bool) -> Environment:
    """Templates of ``package``, and those in ``core/templates``; ``escape`` for HTML."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("pretune.core")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
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
