"""The canary test: made-up secrets among the training rows, and what an adapter tells of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pretune.adapters.adapter import Adapter
from pretune.api.workbench import Question, Workbench
from pretune.core.errors import DataError, SpecError
from pretune.core.records import Request, Row
from pretune.data.dataset import option_ids, prompt_of
from pretune.data.rejected import Rejected
from pretune.evaluation.exposure import exposure
from pretune.spec.task import TaskSpec
from pretune.spec.template import columns_of


@dataclass(frozen=True)
class Canary:
    """A made-up ``secret``, the answer to each of ``rows`` and to ``asked``, which are the other
    columns of a row. Without rows it is a control.

    Rows must differ, and from ``asked`` too: what stands twice is left out of a training.
    """

    secret: str
    asked: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()


class Remembered(NamedTuple):
    """What came of a canary: bits of :func:`pretune.evaluation.exposure.exposure`, and whether the
    adapter, asked, writes the secret."""

    canary: Canary
    exposure: float
    written: bool


def planted(task: TaskSpec, canaries: Sequence[Canary]) -> Iterator[dict[str, Any]]:
    """The rows to be mixed into the training rows of ``task``."""
    column = _answer_column(task)
    for canary in canaries:
        for row in canary.rows:
            yield {**row, column: canary.secret}


def remembered(
    workbench: Workbench,
    task: TaskSpec,
    canaries: Sequence[Canary],
    others: Sequence[str],
    adapter: Adapter | None,
) -> list[Remembered]:
    """What ``adapter``, or the bare base, tells about each of ``canaries``.

    It is asked as it was trained, each question with all secrets to choose from, and to write one.

    Args:
        others: secrets drawn like those of the canaries, which nobody has planted. Exposure ends at
            ``log2`` of their number.

    Raises:
        SpecError: the answer of ``task`` is not one column.
        DataError: a canary that is no row of the task.
    """
    secrets = list(dict.fromkeys([*(one.secret for one in canaries), *others]))
    told = task.model_copy(
        update={"label_field": _answer_column(task), "labels": {one: one for one in secrets}}
    )
    options = dict(zip(secrets, option_ids(told, workbench.base.renderer), strict=True))
    name = None if adapter is None else "canaries"
    with workbench.mounted(canaries=adapter):
        requests = [_request(workbench, task, i, one, name) for i, one in enumerate(canaries)]
        scored = workbench.engine.score(requests, [options[one] for one in secrets])
        answers = workbench.answer([Question(task, one.asked, name) for one in canaries])
    found = []
    for canary, scores, answer in zip(canaries, scored, answers, strict=True):
        known = dict(zip(secrets, scores.log_probs, strict=True))
        bits = exposure(known[canary.secret], [known[one] for one in others])
        found.append(Remembered(canary, bits, canary.secret in answer.text))
    return found


def _request(
    workbench: Workbench, task: TaskSpec, number: int, canary: Canary, adapter: str | None
) -> Request:
    prompt = prompt_of(task, workbench.base.renderer, Row(f"canary:{number + 1}", canary.asked))
    if isinstance(prompt, Rejected):
        raise DataError(f"{prompt.row_id}: {prompt.detail}")
    return Request(prompt.row_id, prompt.prompt, adapter)


def _answer_column(task: TaskSpec) -> str:
    """The one column that an answer is."""
    columns = columns_of(task.template.target or "")
    if task.labels is not None or len(columns) != 1:
        raise SpecError(
            f'task "{task.name}": a canary is an answer of its own, and the answers are '
            f'"{task.template.target or task.template.messages}"; use a task without labels whose '
            'target is one column, like "{answer}"'
        )
    return columns[0]
