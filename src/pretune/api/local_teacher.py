"""The teacher that a task file names, loaded: asked as it was trained, by its own template."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter
from pretune.api.runs import RunFolder, adapter_folder
from pretune.api.workbench import Workbench
from pretune.core import digest
from pretune.core.errors import DataError, SpecError
from pretune.core.records import Example, Request, Row, TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.data.batches import collate
from pretune.data.dataset import answer_room, option_ids, prompt_of, token_limit
from pretune.data.rejected import Rejected
from pretune.data.template import Template
from pretune.data.tokens import tokenize
from pretune.engine.forward import routing_of, target_logits
from pretune.evaluation.scorers import predict_by_generation
from pretune.spec.task import TaskSpec, load_task
from pretune.training.objectives.distil import differing, masses

_NAME = "teacher"
_ROWS = 8
"""Rows whose target logits exist at a time."""


class Said(NamedTuple):
    """An answer (a label's name, or a text) and the teacher's ``confidence`` in it: the probability
    among the labels, or the geometric mean over the answer's tokens, its end included."""

    answer: str
    confidence: float


class TokenMasses(NamedTuple):
    """Log-probabilities ``scores (n, k + 1)`` of the ``ids (n, k)`` and of all other tokens, where
    ``targets (n,)`` stand."""

    targets: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]
    scores: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class LocalTeacher:
    """A base with an adapter, or bare; ``task`` is how it is asked."""

    workbench: Workbench
    task: TaskSpec
    adapter: Adapter | None

    @property
    def name(self) -> dict[str, Any]:
        """All that decides what it says, as JSON values."""
        base, task = self.workbench.base, self.task
        asked = [task.template.model_dump(), task.labels, task.label_field]
        return {
            "base": base.digest,
            "precision": base.precision,
            "adapter": self.adapter and self.adapter.digest,
            "template": digest.of_json(asked),
        }

    def prompt(self, row: Row) -> TokenExample | Rejected:
        """What it is asked about ``row``."""
        return prompt_of(self.task, self.workbench.base.renderer, row)

    def example(self, row: Row) -> TokenExample | Rejected:
        """``row`` with its answer."""
        found = Template(self.task).example(row)
        return found if isinstance(found, Rejected) else self._tokenized(found)

    def label_scores(
        self, prompts: Sequence[TokenExample], labels: Sequence[str]
    ) -> list[tuple[float, ...]]:
        """A log-probability for each of ``labels`` after each prompt."""
        ids = dict(
            zip(
                self.task.labels or (),
                option_ids(self.task, self.workbench.base.renderer),
                strict=True,
            )
        )
        requests = [Request(str(i), one.prompt, self._mounted) for i, one in enumerate(prompts)]
        scored = self.workbench.engine.score(requests, [ids[label] for label in labels])
        return [one.log_probs for one in scored]

    def labelled(self, prompts: Sequence[TokenExample], labels: Sequence[str]) -> list[Said]:
        """Its label for each prompt."""
        found = []
        for scores in self.label_scores(prompts, labels):
            best = max(range(len(scores)), key=scores.__getitem__)
            total = sum(math.exp(score - scores[best]) for score in scores)
            found.append(Said(labels[best], 1 / total))
        return found

    def written(self, rows: Sequence[Row], prompts: Sequence[TokenExample]) -> list[Said]:
        """Its text for each row whose prompt is given; empty where it has none."""
        predictions = predict_by_generation(
            self.workbench.engine,
            [replace(one, row_id=str(i)) for i, one in enumerate(prompts)],
            self.workbench.base.renderer.decode,
            max_new_tokens=self.task.generate.max_new_tokens,
            adapter=self._mounted,
        )
        texts = [one.text for one in predictions]
        whole = [self._answered(row, text) for row, text in zip(rows, texts, strict=True)]
        fit = [one for one in whole if one is not None]
        sure = iter(self._confidences(fit))
        return [
            Said("", 0.0) if one is None else Said(text, next(sure))
            for text, one in zip(texts, whole, strict=True)
        ]

    def token_masses(self, examples: Sequence[TokenExample], top: int) -> list[TokenMasses]:
        """Its ``top`` likeliest tokens at every target of ``examples``."""
        found = []
        for logits, ids in self._targets(examples):
            best = logits.topk(min(top, logits.shape[1] - 1), dim=1).indices
            scores = masses(logits, best).tolist()
            runs = (tuple(map(tuple, some)) for some in (best.tolist(), scores))
            found.append(TokenMasses(tuple(ids.tolist()), *runs))
        return found

    @property
    def _mounted(self) -> str | None:
        return None if self.adapter is None else _NAME

    def _answered(self, row: Row, text: str) -> TokenExample | None:
        """``row``'s prompt with ``text`` as its answer, if there is one and it has room."""
        asked = Template(self.task).prompt(row)
        if isinstance(asked, Rejected) or not text:
            return None
        found = self._tokenized(Example(row.id, (*asked.turns, Turn(Role.TARGET, text))))
        return None if isinstance(found, Rejected) else found

    def _tokenized(self, example: Example) -> TokenExample | Rejected:
        renderer = self.workbench.base.renderer
        room = answer_room(self.task, renderer)
        found = tokenize(example, renderer, token_limit(self.task, renderer), room)
        return found if isinstance(found, Rejected) else found.example

    def _confidences(self, examples: Sequence[TokenExample]) -> Iterator[float]:
        for logits, ids in self._targets(examples):
            log_probs = logits.log_softmax(1).gather(1, ids[:, None])
            yield math.exp(float(log_probs.mean()))

    @torch.no_grad()
    def _targets(
        self, examples: Sequence[TokenExample]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Logits (float32) at the targets of each example, and the targets."""
        adapter, injection = self.adapter, self.workbench.injection
        scope, virtual = Scope.PROMPT, 0
        if adapter is not None:
            scope, virtual = adapter.scope, adapter.config.virtual_tokens
        for start in range(0, len(examples), _ROWS):
            some = examples[start : start + _ROWS]
            batch = collate(some, scope, virtual)
            mounted = None if adapter is None else injection[_NAME]
            with injection.routed(routing_of(batch, mounted)):
                found = target_logits(injection, batch)
            for row in range(len(some)):
                its = (found.rows == row).to(found.logits.device)
                yield found.logits[its].float(), found.ids[its]


@contextmanager
def teacher_of(task: TaskSpec) -> Iterator[LocalTeacher]:
    """The teacher that ``task`` names, mounted for the length of the block.

    Raises:
        SpecError: the task names none.
        DataError: it knows other labels.
        AdapterError, BaseModelError, StorageError: it cannot be loaded.
    """
    teacher = task.teacher
    if teacher is None or (teacher.adapter is None and teacher.base is None):
        raise SpecError(
            f'task "{task.name}" names no teacher to ask; add "teacher: {{adapter: runs/large}}" '
            'or "teacher: {base: ./large}"'
        )
    asked, adapter = task, None
    if teacher.adapter is not None:
        run = RunFolder(teacher.adapter)
        adapter = load_adapter(adapter_folder(teacher.adapter))
        if run.record.is_file():
            asked = load_task(run.task)
        asked = asked.model_copy(update={"method": adapter.config, "scope": adapter.scope})
    if set(asked.labels or ()) != set(task.labels or ()):
        words = differing(list(asked.labels or ()), list(task.labels or ()))
        raise DataError(f'the teacher "{teacher.adapter}" has other labels: {words}')
    workbench = Workbench.open(teacher.base or asked.base)
    with workbench.mounted(**{_NAME: adapter}):
        yield LocalTeacher(workbench, asked, adapter)
