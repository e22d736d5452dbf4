"""Where a row comes from: made by people, by rules or a teacher, or varied from another row."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pretune.core import digest

KEY = "_origin"
"""Column that holds a row's origin; no template names it. A row without it is a seed row."""

_ID_LENGTH = 16
"""Hex digits of a row's id, 64 bits: two of a million rows share one with a chance of 3e-8."""


class RowKind(StrEnum):
    """``seed``: labelled by people; ``synthetic``: made by rules or a teacher; ``augmented``:
    varied from another row."""

    SEED = "seed"
    SYNTHETIC = "synthetic"
    AUGMENTED = "augmented"


@dataclass(frozen=True, slots=True)
class Origin:
    """``id`` names the row's content. ``parent`` is the id of the row that it was made from,
    ``root`` that of its first ancestor, or its own. ``step`` made it by ``recipe``."""

    id: str
    kind: RowKind
    parent: str | None
    root: str
    recipe: str
    step: str


def content_id(fields: Mapping[str, Any]) -> str:
    """Id of a row with these ``fields``, whatever its origin; 16 hex digits."""
    content = {name: value for name, value in fields.items() if name != KEY}
    return digest.of_row(content)[:_ID_LENGTH]


def origin_of(fields: Mapping[str, Any]) -> Origin:
    """The origin that a row carries; without one it is a seed row.

    Raises:
        ValueError: what stands under ``_origin`` is no origin. The message holds no content.
    """
    given = fields.get(KEY)
    if given is None:
        own = content_id(fields)
        return Origin(own, RowKind.SEED, None, own, "", "")
    try:
        origin = Origin(**{**given, "kind": RowKind(given["kind"])})
        for name in (origin.id, origin.root, origin.parent or origin.root):
            int(name, 16)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f'column "{KEY}" holds no origin') from error
    return origin


def made(
    fields: Mapping[str, Any], kind: RowKind, step: str, recipe: str, parent: Origin | None = None
) -> dict[str, Any]:
    """``fields`` of a new row with its origin added, or put in the place of its parent's."""
    content = {name: value for name, value in fields.items() if name != KEY}
    own = content_id(content)
    root = own if parent is None else parent.root
    origin = Origin(own, kind, None if parent is None else parent.id, root, recipe, step)
    return {**content, KEY: asdict(origin)}
