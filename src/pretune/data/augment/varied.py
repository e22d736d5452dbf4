"""A row as operators see it: what may change, what must not, and what moves along."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pretune.core.origin import KEY
from pretune.data.augment.edits import Edit, Span, apply, moved
from pretune.data.template import plain
from pretune.spec.task import TaskSpec
from pretune.spec.template import columns_of

_WORD = re.compile(r"[^\W\d_\u3400-\u9fff]+|[\u3400-\u9fff]+|\d[\d.,:/-]*")
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Columns:
    """Columns of a task's rows: ``asked`` ask, and of them ``said``, the user's own words, may be
    reworded; ``answered`` are free answers that move along. All others, labels among them, stay."""

    asked: tuple[str, ...]
    said: tuple[str, ...]
    answered: tuple[str, ...]

    @classmethod
    def of(cls, task: TaskSpec) -> "Columns":
        """Those of ``task``, by its template."""
        template = task.template
        prompt = (template.system, template.context, template.user)
        answered: tuple[str, ...] = ()
        if task.labels is None:
            answered = (*columns_of(template.target or ""), task.references_field)
        asked = dict.fromkeys(name for text in prompt for name in columns_of(text or ""))
        said = columns_of(template.user or "")
        return cls(
            tuple(name for name in asked if name not in answered),
            tuple(name for name in said if name not in answered),
            answered,
        )


@dataclass(frozen=True)
class Varied:
    """The fields of one row under ``columns``."""

    fields: Mapping[str, Any]
    columns: Columns

    @property
    def texts(self) -> dict[str, str]:
        """The texts that ask, by column."""
        given = ((name, self.fields.get(name)) for name in self.columns.asked)
        return {name: text for name, text in given if isinstance(text, str) and text.strip()}

    @property
    def answers(self) -> list[str]:
        """The free answers."""
        found: list[str] = []
        for name in self.columns.answered:
            value = self.fields.get(name)
            found += map(plain, value if isinstance(value, (list, tuple)) else [value])
        return [text for text in found if text.strip()]

    def spans(self, column: str) -> list[Span]:
        """Where the row's own annotations stand in ``column``."""
        text = self.fields[column]
        return [
            Span(one["start"], one["end"])
            for listed in self._span_lists().values()
            for one in listed
            if text[one["start"] : one["end"]] == one["text"]
        ]

    def typed_spans(self, column: str) -> list[tuple[str, Span]]:
        """The same with their types."""
        text = self.fields[column]
        return [
            (str(one.get("type", "")), Span(one["start"], one["end"]))
            for listed in self._span_lists().values()
            for one in listed
            if text[one["start"] : one["end"]] == one["text"]
        ]

    def kept(self, column: str) -> list[Span]:
        """What operators that only reword must leave alone: numbers, annotations, and words that an
        answer takes from the text."""
        text, answers = self.fields[column], " ".join(self.answers).casefold()
        spans = self.spans(column)
        for match in _WORD.finditer(text):
            word = match.group().casefold()
            if word[0].isdigit():
                spans.append(Span(*match.span()))
            elif not answers:
                continue
            elif _HAN.match(word):
                starts = range(match.start(), match.end() - 1)
                spans += [Span(i, i + 2) for i in starts if text[i : i + 2] in answers]
            elif re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answers):
                spans.append(Span(*match.span()))
        return spans

    def reworded(self, edits: Mapping[str, Sequence[Edit]]) -> dict[str, Any] | None:
        """The fields after ``edits`` of asking columns, annotations moved; ``None`` if an edit
        crosses the border of one."""
        changed = dict(self.fields)
        for column, made in edits.items():
            changed[column] = apply(self.fields[column], made)
        for name, listed in self._span_lists().items():
            found = []
            for one in listed:
                home = self._home(one)
                if home is None or home not in edits:
                    found.append(one)
                    continue
                span = moved(Span(one["start"], one["end"]), edits[home])
                if span is None:
                    return None
                text = changed[home][span.start : span.end]
                found.append({**one, "text": text, "start": span.start, "end": span.end})
            changed[name] = found
        return changed

    def replaced(self, column: str, new: str, places: Mapping[Span, Span]) -> dict[str, Any]:
        """The fields with ``new`` in ``column``; ``places``: where its annotations are then."""
        changed = dict(self.fields) | {column: new}
        for name, listed in self._span_lists().items():
            changed[name] = [
                {**one, "start": place.start, "end": place.end, "text": new[slice(*place)]}
                if self._home(one) == column
                and (place := places.get(Span(one["start"], one["end"]))) is not None
                else one
                for one in listed
            ]
        return changed

    def _span_lists(self) -> dict[str, list[dict[str, Any]]]:
        """Columns that hold annotations: lists of ``{start, end, text}``."""
        return {
            name: value
            for name, value in self.fields.items()
            if name != KEY and isinstance(value, list) and value and all(map(_is_annotation, value))
        }

    def _home(self, one: Mapping[str, Any]) -> str | None:
        """The asking column in which an annotation stands."""
        for column, text in self.texts.items():
            if text[one["start"] : one["end"]] == one["text"]:
                return column
        return None


def _is_annotation(one: Any) -> bool:
    """Whether it says where a text stands; lists of other things have keys of these names too."""
    return (
        isinstance(one, dict)
        and all(type(one.get(end)) is int for end in ("start", "end"))
        and isinstance(one.get("text"), str)
    )
