"""Where the templates of pages are found, and how they are read: one way for every report."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def environment(package: str, *, escape: bool) -> Environment:
    """Templates of ``package``, and those in ``core/templates``; ``escape`` for HTML. A name that a
    template does not know is an error."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("pretune.core")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
