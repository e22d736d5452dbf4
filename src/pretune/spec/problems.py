"""What pydantic found, as one error in the user's words: where, what, the nearest right name."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from pretune.core.errors import SpecError
from pretune.core.names import unknown


def spec_error(error: ValidationError, source: str) -> SpecError:
    """One SpecError that lists every problem as ``where: message``, a line each.

    A single problem keeps its own kind, so that a refused scope is a ``ScopeError``.
    """
    details = _roots(error.errors(include_url=False))
    lines = [f"{_where(item['loc'])}{_message(item)}" for item in details]
    cause = _cause(details[0])
    kind = type(cause) if len(details) == 1 and isinstance(cause, SpecError) else SpecError
    if len(lines) == 1:
        return kind(f"{source}: {lines[0]}")
    return kind("\n  ".join([f"{source} has {len(lines)} problems:", *lines]))


def _roots(details: Sequence[Any]) -> list[Any]:
    """The problems without their echoes: defaults that wait for a broken field, and lists that are
    too short only because an item of theirs is broken."""
    places = [tuple(item["loc"]) for item in details]
    return [
        item
        for item, place in zip(details, places, strict=True)
        if item["type"] != "default_factory_not_called"
        and not (
            item["type"] == "too_short"
            and any(other[: len(place)] == place and other != place for other in places)
        )
    ]


def _where(loc: Sequence[int | str]) -> str:
    """``data.train[0]: ``, and nothing for the task itself.

    The tags of unions are pydantic's, not the user's, and left out.
    """
    text = ""
    for index, part in enumerate(loc):
        if isinstance(part, int):
            text += f"[{part}]"
        elif not (index and _is_tag(loc, index)):
            text += f".{part}" if text else part
    return f"{text}: " if text else ""


def _is_tag(loc: Sequence[int | str], index: int) -> bool:
    return isinstance(loc[index - 1], int) or (loc[0] == "method" and index == 1)


def _cause(item: Any) -> Any:
    return item.get("ctx", {}).get("error")


def _message(item: Any) -> str:
    kind, given, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "value_error":
        return str(_cause(item))
    if kind == "missing":
        return "is missing; add it"
    if kind == "union_tag_invalid":
        known = [name.strip(" '") for name in context["expected_tags"].split(",")]
        return str(unknown("method", str(context["tag"]), known))
    if kind == "union_tag_not_found":
        return 'has no name; write it like "method: lora" or "method: {name: lora}"'
    if kind in ("literal_error", "enum"):
        known = context["expected"].replace(" or ", ", ").split(", ")
        kinds = [part for part in item["loc"] if isinstance(part, str)]
        return str(unknown(kinds[-1], str(given), [name.strip(" '") for name in known]))
    shown = f', not "{given}"' if isinstance(given, (str, int, float)) else ""
    return f"{item['msg'][0].lower()}{item['msg'][1:]}{shown}"
