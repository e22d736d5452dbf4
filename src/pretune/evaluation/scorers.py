"""Answers of a task: by the best of its labels, or by generation."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pretune.core.errors import DataError
from pretune.core.protocols import Generator, Scorer
from pretune.core.records import Completion, OptionScores, Prediction, Request, TokenExample
from pretune.evaluation.metrics.text import normalise

Progress = Callable[[int], None]
"""Told how many rows are done since it was last told."""


@dataclass(frozen=True, slots=True)
class LabelOption:
    """A label, its words, and the token ids that the model would write for it, end included."""

    label: str
    words: str
    ids: tuple[int, ...]


def requests_of(
    examples: Sequence[TokenExample], adapter: str | None, max_new_tokens: int = 1
) -> list[Request]:
    """The prompts of ``examples``, named by row id.

    Raises:
        DataError: no examples, or two rows with one id.
    """
    if not examples:
        raise DataError("there are no rows to answer; check the split and its report")
    if len({one.row_id for one in examples}) < len(examples):
        raise DataError("two rows have the same id; give each a line of its own")
    return [Request(one.row_id, one.prompt, adapter, max_new_tokens) for one in examples]


def predict_by_scoring(
    scorer: Scorer,
    examples: Sequence[TokenExample],
    options: Sequence[LabelOption],
    *,
    adapter: str | None = None,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Answer with the most probable of ``options``; ``scores`` are probabilities among them.

    An option's end token is scored with it, so that the scores are probabilities of whole answers
    and a short one has no advantage over a longer one that begins alike.

    Raises:
        DataError: no examples, or fewer than two options.
    """
    if len(options) < 2:
        raise DataError(f"{len(options)} label is no choice; give at least two")
    requests = requests_of(examples, adapter)
    scored = scorer.score(requests, [option.ids for option in options], progress)
    return [
        _scored(example, options, scores) for example, scores in zip(examples, scored, strict=True)
    ]


def predict_by_generation(
    generator: Generator,
    examples: Sequence[TokenExample],
    decode: Callable[[Sequence[int]], str],
    *,
    max_new_tokens: int,
    words: Mapping[str, str] | None = None,
    adapter: str | None = None,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Answer by greedy generation; ``decode`` turns token ids to text.

    With ``words`` (label to words), the answer's label is the one whose words, or whose name, the
    text equals in normal form; else it is ``None``, and counts as wrong.

    Raises:
        DataError: no examples.
    """
    requests = requests_of(examples, adapter, max_new_tokens)
    completions = generator.generate(requests, progress)
    named = {normalise(label): label for label in words or {}}
    named |= {normalise(said): label for label, said in (words or {}).items()}
    return [
        _generated(example, completion, decode, named)
        for example, completion in zip(examples, completions, strict=True)
    ]


def _scored(
    example: TokenExample, options: Sequence[LabelOption], scores: OptionScores
) -> Prediction:
    best = options[scores.best]
    top = scores.log_probs[scores.best]
    weights = [math.exp(score - top) for score in scores.log_probs]
    total = sum(weights)
    return Prediction(
        row_id=example.row_id,
        text=best.words,
        references=example.references,
        label=best.label,
        scores={
            option.label: weight / total for option, weight in zip(options, weights, strict=True)
        },
        gold=example.label,
    )


def _generated(
    example: TokenExample,
    completion: Completion,
    decode: Callable[[Sequence[int]], str],
    named: Mapping[str, str],
) -> Prediction:
    text = decode(completion.ids).strip()
    return Prediction(
        row_id=example.row_id,
        text=text,
        references=example.references,
        label=named.get(normalise(text)),
        gold=example.label,
    )
