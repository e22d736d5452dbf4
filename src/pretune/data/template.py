"""Rows under a task's template: columns into segments, labels into words, messages into turns."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pretune.core.digest import of_json
from pretune.core.names import nearest
from pretune.core.records import Example, Row
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.data.messages import turns_of
from pretune.data.refusal import RowRefused
from pretune.data.rejected import Reason, Rejected
from pretune.spec.task import TaskSpec
from pretune.spec.template import Piece, parse


def plain(value: Any) -> str:
    """A cell as a template shows it: text as it is, null as nothing, the rest as JSON has it.

    NaN is a null: tables of numbers have it where a cell is missing.
    """
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


class Template:
    """One task's template, ready to be applied to rows."""

    def __init__(self, task: TaskSpec) -> None:
        self._task = task
        self._pieces = {
            Role(role): parse(text)
            for role, text in task.template.segments.items()
            if text is not None
        }
        prompt = [pieces for role, pieces in self._pieces.items() if role is not Role.TARGET]
        self._inputs = sorted({p.column for pieces in prompt for p in pieces if p.column})

    def example(self, row: Row) -> Example | Rejected:
        """``row`` as a prompt and its answer."""
        try:
            if self._task.template.messages is not None:
                return self._checked(self._chat_example(row))
            return self._checked(self._segment_example(row))
        except RowRefused as refusal:
            return Rejected(row.id, refusal.reason, str(refusal), row.fields)

    def prompt(self, row: Row) -> Example | Rejected:
        """``row`` as a prompt alone: what is asked when the answer is not known."""
        try:
            if self._task.template.messages is not None:
                turns = _asked(Example(row.id, self._messages(row)))
            else:
                turns = self._prompt(row.fields)
            return self._checked(Example(row.id, turns))
        except RowRefused as refusal:
            return Rejected(row.id, refusal.reason, str(refusal), row.fields)

    def split_key(self, row: Row) -> str:
        """The content that decides the row's split: what is asked, and neither the template's own
        words nor the answer. So rows that ask the same fall into the same split."""
        if self._task.template.messages is None:
            return of_json({name: plain(row.fields.get(name)) for name in self._inputs})
        try:
            turns = Example(row.id, self._messages(row)).prompt
        except RowRefused:
            return of_json(plain(row.fields.get(self._task.template.messages)))
        return of_json([[turn.role, turn.text] for turn in turns])

    def asked(self, row: Row) -> str:
        """The texts that ask: the columns of the prompt, or a chat's turns, a line each."""
        if self._task.template.messages is None:
            return "\n".join(plain(row.fields.get(name)) for name in self._inputs)
        try:
            return "\n".join(turn.text for turn in Example(row.id, self._messages(row)).prompt)
        except RowRefused:
            return ""

    def option(self, label: str) -> Turn:
        """What the model should write for ``label``, one of the task's labels."""
        return Turn(Role.TARGET, self._target({self._task.label_field: label}))

    def _checked(self, example: Example) -> Example:
        has_context = any(turn.role is Role.CONTEXT for turn in example.turns)
        if self._task.scope is Scope.SUFFIX and not has_context:
            raise RowRefused(
                Reason.NO_CONTEXT, 'scope "suffix" adapts what follows a context; use "prompt"'
            )
        return example

    def _segment_example(self, row: Row) -> Example:
        prompt = self._prompt(row.fields)
        target = self._target(row.fields)
        label = plain(row.fields[self._task.label_field]) if self._task.labels else None
        given = row.fields.get(self._task.references_field)
        listed = given if isinstance(given, (list, tuple)) else [given]
        references = tuple(plain(text) for text in listed if plain(text).strip())
        if self._task.labels or not references:
            references = (target,)
        return Example(row.id, (*prompt, Turn(Role.TARGET, target)), label, references)

    def _prompt(self, fields: Mapping[str, Any]) -> tuple[Turn, ...]:
        turns = [
            Turn(role, _fill(pieces, fields))
            for role, pieces in self._pieces.items()
            if role is not Role.TARGET
        ]
        if not any(plain(fields[name]).strip() for name in self._inputs):
            raise RowRefused(Reason.EMPTY_INPUT, f"nothing in {_listed(self._inputs)}")
        return tuple(turn for turn in turns if turn.role is Role.USER or turn.text.strip())

    def _target(self, fields: Mapping[str, Any]) -> str:
        labels, column = self._task.labels, self._task.label_field
        pieces = self._pieces[Role.TARGET]
        if labels is None:
            text = _fill(pieces, fields)
            if not any(plain(fields[p.column]).strip() for p in pieces if p.column):
                names = [p.column for p in pieces if p.column]
                raise RowRefused(Reason.EMPTY_TARGET, f"nothing in {_listed(names)}")
            return text
        label = _fill((Piece("", column),), fields)
        if not label.strip():
            raise RowRefused(Reason.EMPTY_TARGET, f'nothing in "{column}"')
        if label not in labels:
            guess = nearest(label, labels)
            hint = f'; the nearest known is "{guess}"' if guess else ""
            raise RowRefused(
                Reason.UNKNOWN_LABEL, f"not among the {len(labels)} labels of the task{hint}"
            )
        return _fill(pieces, {column: labels[label]})

    def _messages(self, row: Row) -> tuple[Turn, ...]:
        return turns_of(_cell(row.fields, self._task.template.messages or ""))

    def _chat_example(self, row: Row) -> Example:
        example = Example(row.id, self._messages(row))
        answer = example.turns[len(_asked(example)) :]
        if not any(turn.text.strip() for turn in answer):
            raise RowRefused(Reason.EMPTY_TARGET, "no message of the assistant's stands last")
        return replace(example, references=(answer[-1].text,))


def _asked(example: Example) -> tuple[Turn, ...]:
    if not any(turn.text.strip() for turn in example.prompt):
        raise RowRefused(Reason.EMPTY_INPUT, "no message comes before the assistant's last")
    return example.prompt


def _fill(pieces: Sequence[Piece], fields: Mapping[str, Any]) -> str:
    return "".join(p.text if p.column is None else plain(_cell(fields, p.column)) for p in pieces)


def _cell(fields: Mapping[str, Any], column: str) -> Any:
    if column in fields:
        return fields[column]
    # A name this long is a line of data that stands where a header should.
    names = sorted(name for name in map(str, fields) if len(name) <= 40)
    guess = nearest(column, names)
    hint = f' did you mean "{guess}"?' if guess else ""
    raise RowRefused(
        Reason.MISSING_COLUMN, f'no column "{column}";{hint} known: {", ".join(names)}'
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
