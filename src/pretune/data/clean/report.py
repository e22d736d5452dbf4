"""What cleaning found: counts for anybody, and a page with samples for the owner of the rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.core.pages import environment
from pretune.data.workshop.step import Written
from pretune.spec.cleaning import Flag


class Sample(NamedTuple):
    """A flagged row as the page shows it, beside the row that is alike."""

    row: str
    text: str
    answer: str
    doubt: float | None
    other: str | None
    other_text: str | None
    other_answer: str | None


@dataclass(frozen=True)
class Cleaned:
    """What cleaning found and wrote. ``flags`` counts training rows by flag; ``samples`` hold text
    of rows and belong on the page alone."""

    task: str
    written: Written
    train: int
    flags: Mapping[Flag, int]
    removed: tuple[Flag, ...]
    unreadable: int
    boilerplate: Mapping[str, int]
    samples: Mapping[Flag, tuple[Sample, ...]]
    page: Path

    def to_dict(self) -> dict[str, Any]:
        """Counts and files as JSON values, without any row's text."""
        return {
            **self.written.to_dict(),
            "train": self.train,
            "flags": {flag.value: count for flag, count in self.flags.items()},
            "removed_flags": list(self.removed),
            "unreadable": self.unreadable,
            "page": str(self.page),
        }

    def render(self) -> RenderableType:
        """Counts for a terminal."""
        table = Table(title=Text(f"Training rows of {self.task}: {self.train:,}"))
        table.title_justify = "left"
        for name, side in (("flag", "left"), ("rows", "right"), ("", "left"), ("meaning", "left")):
            table.add_column(name, justify=side)  # type: ignore[arg-type]
        for flag, count in self.flags.items():
            out = "taken out" if flag in self.removed else "to look at"
            table.add_row(flag.value, f"{count:,}", out if count else "", flag.meaning)
        lines = [f'page with samples: "{self.page}"']
        if self.unreadable:
            lines.insert(0, f"{self.unreadable:,} rows cannot be used; see: pretune check")
        return Group(table, *map(Text, lines))


def render(cleaned: Cleaned) -> str:
    """One HTML page with counts and samples: all text escaped, no script, no other file."""
    template = environment("pretune.data.clean", escape=True).get_template("clean.html.jinja")
    return template.render(cleaned=cleaned)
