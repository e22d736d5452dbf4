"""One evaluation: a task's answers on a split, what they are worth, and a folder that keeps it."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretune.core import digest
from pretune.core.errors import StorageError
from pretune.core.files import write_atomic
from pretune.core.records import Prediction, TokenExample, total_tokens
from pretune.evaluation.intervals import Interval, interval
from pretune.evaluation.metrics import get_metrics
from pretune.evaluation.tables import Confusion, LabelRow, confusions, entity_table, label_table

PREDICTIONS_FILE = "predictions.jsonl"
RECORD_FILE = "evaluation.json"

Predict = Callable[[Sequence[TokenExample]], list[Prediction]]
"""Examples to answers, in order: a scorer with everything but the examples filled in."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a task's answers on some rows are worth.

    ``adapter`` is the adapter's digest, ``None`` for the bare base. ``labels`` and ``confusions``
    are empty for tasks without labels; for entities, ``labels`` holds a row for each type.
    ``seconds`` is wall time of answering, ``prompt_tokens`` what was read for it.
    """

    task: str
    adapter: str | None
    metrics: dict[str, Interval]
    rows: int
    prompt_tokens: int
    seconds: float
    labels: tuple[LabelRow, ...]
    confusions: tuple[Confusion, ...]
    predictions: tuple[Prediction, ...]


def evaluate(
    task: str,
    examples: Sequence[TokenExample],
    predict: Predict,
    metrics: Sequence[str],
    *,
    adapter: str | None = None,
) -> Evaluation:
    """Answer ``examples`` and measure the answers, with 95 % intervals.

    ``adapter`` is recorded only; ``predict`` is what uses it.

    Raises:
        UnknownName: a metric that does not exist; nothing was answered yet.
        DataError: no examples, or rows without what a metric needs.
    """
    get_metrics(metrics)
    start = time.perf_counter()
    predictions = predict(examples)
    seconds = time.perf_counter() - start
    tokens = sum(total_tokens(example.prompt) for example in examples)
    return measure(
        task, predictions, metrics, adapter=adapter, seconds=seconds, prompt_tokens=tokens
    )


def measure(
    task: str,
    predictions: Sequence[Prediction],
    metrics: Sequence[str],
    *,
    adapter: str | None = None,
    seconds: float = 0.0,
    prompt_tokens: int = 0,
) -> Evaluation:
    """The evaluation of answers that exist already.

    Raises:
        UnknownName: a metric that does not exist.
        DataError: no predictions, or rows without what a metric needs.
    """
    measured = {metric.name: interval(metric, predictions) for metric in get_metrics(metrics)}
    labels: tuple[LabelRow, ...] = ()
    pairs: tuple[Confusion, ...] = ()
    if all(one.gold is not None for one in predictions):
        labels, pairs = label_table(predictions), confusions(predictions)
    elif "entity_f1" in measured:
        labels = entity_table(predictions)
    return Evaluation(
        task=task,
        adapter=adapter,
        metrics=measured,
        rows=len(predictions),
        prompt_tokens=prompt_tokens,
        seconds=seconds,
        labels=labels,
        confusions=pairs,
        predictions=tuple(predictions),
    )


def save_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``predictions.jsonl`` and ``evaluation.json`` to ``folder``; other files there stay.

    The record is written last and holds the digest of the predictions, so that a pair that does not
    belong together is never loaded. The predictions hold answers and references: text of the
    user's data.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    record = dataclasses.asdict(evaluation)
    lines = [json.dumps(one, ensure_ascii=False) for one in record.pop("predictions")]
    predictions = ("\n".join(lines) + "\n").encode()
    record["predictions_digest"] = digest.of_bytes(predictions)
    write_atomic(folder / PREDICTIONS_FILE, predictions)
    text = json.dumps(record, ensure_ascii=False, indent=2)
    write_atomic(folder / RECORD_FILE, text + "\n")


def load_evaluation(folder: Path) -> Evaluation:
    """The evaluation that ``save_evaluation`` wrote to ``folder``.

    Raises:
        StorageError: no evaluation there, or a damaged one.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_bytes())
        predictions = (folder / PREDICTIONS_FILE).read_bytes()
        whole = record.pop("predictions_digest") == digest.of_bytes(predictions)
        evaluation = _read(record, [json.loads(line) for line in predictions.split(b"\n") if line])
    except FileNotFoundError as error:
        raise StorageError(
            f'"{folder}" holds no evaluation ("{Path(error.filename).name}" is missing); '
            "name a folder that pretune eval wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError):
        # The cause is left out: its message could show a row's text.
        raise StorageError(f'the evaluation in "{folder}" is damaged; evaluate again') from None
    if not whole:
        raise StorageError(
            f'"{PREDICTIONS_FILE}" in "{folder}" is not what "{RECORD_FILE}" measured; '
            "evaluate again"
        )
    return evaluation


def _read(record: dict[str, Any], lines: Sequence[dict[str, Any]]) -> Evaluation:
    predictions = tuple(
        Prediction(**{**line, "references": tuple(line["references"])}) for line in lines
    )
    return Evaluation(
        **{
            **record,
            "metrics": {name: Interval(**one) for name, one in record["metrics"].items()},
            "labels": tuple(LabelRow(**one) for one in record["labels"]),
            "confusions": tuple(Confusion(**one) for one in record["confusions"]),
        },
        predictions=predictions,
    )
