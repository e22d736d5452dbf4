"""Predictions by hand for the evaluation tests."""

from collections.abc import Callable, Sequence

import pytest

from pretune.core.records import Prediction

Labelled = Callable[[Sequence[tuple[str, str | None]]], list[Prediction]]
Written = Callable[[Sequence[tuple[str, str]]], list[Prediction]]


@pytest.fixture(scope="session")
def labelled() -> Labelled:
    """(right, answered) pairs as predictions of a label task."""

    def build(pairs: Sequence[tuple[str, str | None]]) -> list[Prediction]:
        return [
            Prediction(f"rows.jsonl:{i}", answer or "?", (gold,), label=answer, gold=gold)
            for i, (gold, answer) in enumerate(pairs, 1)
        ]

    return build


@pytest.fixture(scope="session")
def written() -> Written:
    """(answer, reference) pairs as predictions of a text task."""

    def build(pairs: Sequence[tuple[str, str]]) -> list[Prediction]:
        return [
            Prediction(f"rows.jsonl:{i}", text, (reference,))
            for i, (text, reference) in enumerate(pairs, 1)
        ]

    return build
