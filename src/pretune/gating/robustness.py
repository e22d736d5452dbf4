"""Robustness: the same rows asked otherwise. Each perturbation changes what is asked and not what
is right, is drawn from a row's own content, and so is the same on every machine.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, ClassVar

from pretune.core.digest import of_row
from pretune.core.protocols import Renderer
from pretune.core.records import Row, TokenExample
from pretune.data.augment.edits import Edit, apply
from pretune.data.augment.rewordings import Synonym, Typo
from pretune.data.augment.varied import Columns, Varied
from pretune.data.dataset import answer_room, token_limit
from pretune.data.probes import mostly_han
from pretune.data.rejected import Rejected
from pretune.data.template import Template
from pretune.data.tokens import tokenize
from pretune.gating.texts import general_passages
from pretune.spec.task import TaskSpec
from pretune.spec.template import Piece, parse


class Perturbation:
    """A change of the task's template, or of each row; what it has nothing to change in, it leaves
    as it is."""

    name: ClassVar[str]
    says: ClassVar[str]
    """What it does, for people."""

    def task(self, task: TaskSpec) -> TaskSpec:
        """``task`` with another template."""
        return task

    def fields(self, task: TaskSpec, fields: Mapping[str, Any], rng: Random) -> Mapping[str, Any]:
        """A row's fields, changed."""
        return fields


class Typos(Perturbation):
    """Typing mistakes in the user's words; numbers, annotations and words of a free answer stay."""

    name = "typos"
    says = "a typing mistake in one letter of thirty, and one at least"

    def fields(self, task: TaskSpec, fields: Mapping[str, Any], rng: Random) -> Mapping[str, Any]:
        """With mistakes."""
        return Typo().vary(Varied(fields, Columns.of(task)), rng) or fields


class OptionOrder(Perturbation):
    """Labels that the prompt lists, listed from the last to the first."""

    name = "option_order"
    says = "the labels that the template lists, in the reverse order"

    def task(self, task: TaskSpec) -> TaskSpec:
        """With the list turned round; the same where it names fewer than two labels."""
        known = _label_pattern(task)
        found = [] if known is None else list(known.finditer("\n".join(_plain_texts(task))))
        if known is None or len({match[0] for match in found}) < 2:
            return task
        start, end = _list_in(found)
        turned = iter([*found[:start], *reversed(found[start:end]), *found[end:]])
        return _rewritten(task, lambda text: known.sub(lambda _: next(turned)[0], text))


class Paraphrase(Perturbation):
    """The instruction in other words: an opening before it, and synonyms in it."""

    name = "template"
    says = "an opening before the instruction, and synonyms for its words; labels stay"

    _OPENING: ClassVar[Mapping[bool, str]] = {
        False: "Please read this carefully before you answer. ",
        True: "请先仔细阅读，再作答。",
    }

    def task(self, task: TaskSpec) -> TaskSpec:
        """Reworded."""
        if task.template.messages is not None:
            return task
        first = "system" if task.template.system else "user"
        opening = self._OPENING[mostly_han(list(_plain_texts(task)))]
        known, rng = _label_pattern(task), Random(0)

        def reworded(text: str) -> str:
            kept = [] if known is None else [m.span() for m in known.finditer(text)]
            edits: list[Edit] = []
            for edit in Synonym().edits(text, rng):
                taken = [*kept, *((one.start, one.end) for one in edits)]
                if all(edit.end <= start or edit.start >= end for start, end in taken):
                    edits.append(edit)
            return apply(text, edits)

        changed = _rewritten(task, reworded)
        opened = {first: opening + (getattr(changed.template, first) or "")}
        return changed.model_copy(update={"template": changed.template.model_copy(update=opened)})


class Context(Perturbation):
    """A passage about something else: behind the context, or before what the user says."""

    name = "context"
    says = "a passage about something else, behind the context or else before the user's text"

    @cached_property
    def _passages(self) -> Mapping[bool, Sequence[str]]:
        given = general_passages()
        return {
            han: [one.head + one.tail for one in given if (one.language == "zh") is han]
            for han in (False, True)
        }

    def fields(self, task: TaskSpec, fields: Mapping[str, Any], rng: Random) -> Mapping[str, Any]:
        """With the passage."""
        varied = Varied(fields, Columns.of(task))
        behind = [name for name in varied.texts if name not in varied.columns.said]
        column = next(iter([*behind, *(n for n in varied.texts if n in varied.columns.said)]), None)
        if column is None:
            return fields
        text = varied.texts[column]
        passage = rng.choice(self._passages[mostly_han([text])])
        edit = Edit(0, 0, f"{passage}\n\n")
        if column in behind:
            edit = Edit(len(text), len(text), f"\n\n{passage}")
        return varied.reworded({column: [edit]}) or fields


PERTURBATIONS: tuple[Perturbation, ...] = (Typos(), OptionOrder(), Paraphrase(), Context())
"""All of them."""


def perturbed(
    perturbation: Perturbation, task: TaskSpec, rows: Sequence[Row]
) -> tuple[TaskSpec, list[Row]] | None:
    """``task`` and ``rows`` under ``perturbation``; ``None`` where it changed neither."""
    other = perturbation.task(task)
    made = [
        Row(
            row.id,
            perturbation.fields(
                task, row.fields, Random(f"{perturbation.name}/{of_row(row.fields)}")
            ),
        )
        for row in rows
    ]
    same = other == task and all(a.fields == b.fields for a, b in zip(rows, made, strict=True))
    return None if same else (other, made)


def examples_of(task: TaskSpec, renderer: Renderer, rows: Sequence[Row]) -> list[TokenExample]:
    """``rows`` as ``task`` asks them; those that are then too long for the base are left out."""
    template = Template(task)
    limit, room = token_limit(task, renderer), answer_room(task, renderer)
    found = []
    for row in rows:
        example = template.example(row)
        if isinstance(example, Rejected):
            continue
        made = tokenize(example, renderer, limit, room)
        if not isinstance(made, Rejected):
            found.append(made.example)
    return found


def _list_in(labels: Sequence[re.Match[str]]) -> tuple[int, int]:
    """Where ``labels`` has them all on the fewest characters: the list that is chosen from, without
    labels that the question has for words."""
    every = {match[0] for match in labels}
    runs = [
        (start, end)
        for start in range(len(labels))
        for end in range(start + len(every), len(labels) + 1)
        if {match[0] for match in labels[start:end]} == every
    ]
    return min(runs, key=lambda run: labels[run[1] - 1].end() - labels[run[0]].start())


def _label_pattern(task: TaskSpec) -> re.Pattern[str] | None:
    """Any label's words, the longest first; those of letters as whole words."""
    words = sorted({*(task.labels or {}).values()}, key=lambda word: (-len(word), word))
    if not words:
        return None
    parts = [rf"\b{re.escape(one)}\b" if one.isascii() else re.escape(one) for one in words]
    return re.compile("|".join(parts))


def _plain_texts(task: TaskSpec) -> list[str]:
    """The template's own words that ask, in order, columns left out."""
    return [
        piece.text
        for role, text in task.template.segments.items()
        if text is not None and role != "target"
        for piece in parse(text)
        if piece.column is None
    ]


def _rewritten(task: TaskSpec, change: Callable[[str], str]) -> TaskSpec:
    """``task`` with the template's own words that ask put through ``change``."""
    texts = {
        role: "".join(_spelled(piece, change) for piece in parse(text))
        for role, text in task.template.segments.items()
        if text is not None and role != "target"
    }
    return task.model_copy(update={"template": task.template.model_copy(update=texts)})


def _spelled(piece: Piece, change: Callable[[str], str]) -> str:
    if piece.column is not None:
        return f"{{{piece.column}}}"
    return change(piece.text).replace("{", "{{").replace("}", "}}")
