import math
from collections.abc import Callable, Sequence

import pytest

from pretune.core.errors import DataError
from pretune.core.records import Completion, FinishReason, OptionScores, Request, TokenExample
from pretune.core.segments import Role, TokenSegment
from pretune.evaluation.scorers import LabelOption, predict_by_generation, predict_by_scoring

OPTIONS = [LabelOption("pos", "good news", (7, 0)), LabelOption("neg", "bad news", (8, 8, 0))]


class ScriptedModel:
    """Answers from a script, and keeps what it was asked."""

    def __init__(self, script: Sequence[Sequence[float]]) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.options: list[tuple[int, ...]] = []

    def score(
        self,
        requests: Sequence[Request],
        options: Sequence[Sequence[int]],
        progress: Callable[[int], None] | None = None,
    ) -> list[OptionScores]:
        self.requests, self.options = list(requests), [tuple(option) for option in options]
        if progress:
            progress(len(requests))
        return [
            OptionScores(request.id, tuple(scores))
            for request, scores in zip(requests, self.script, strict=True)
        ]

    def generate(
        self, requests: Sequence[Request], progress: Callable[[int], None] | None = None
    ) -> list[Completion]:
        self.requests = list(requests)
        return [
            Completion(request.id, tuple(int(one) for one in ids), FinishReason.END)
            for request, ids in zip(requests, self.script, strict=True)
        ]


def example(line: int, label: str | None = None, references: tuple[str, ...] = ()) -> TokenExample:
    segments = (
        TokenSegment(Role.USER, (1, 2, line)),
        TokenSegment(Role.TARGET, (9, 9)),
    )
    return TokenExample(f"rows.jsonl:{line}", segments, label, references)


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


def test_scoring_answers_with_the_most_probable_label():
    model = ScriptedModel([(math.log(0.6), math.log(0.2)), (-1e4, -1e3)])
    done: list[int] = []
    first, second = predict_by_scoring(
        model,
        [example(1, "pos", ("good news",)), example(2, "pos")],
        OPTIONS,
        adapter="digest",
        progress=done.append,
    )
    assert (first.label, first.text, first.gold) == ("pos", "good news", "pos")
    assert first.references == ("good news",)
    # 0.6 and 0.2 as shares of what the two options have together.
    assert first.scores == pytest.approx({"pos": 0.75, "neg": 0.25})
    # Log-probabilities far below what exp can hold are compared all the same.
    assert (second.label, second.scores["neg"]) == ("neg", 1.0)
    assert model.options == [(7, 0), (8, 8, 0)]
    assert done == [2]


def test_the_model_is_given_the_prompt_and_never_the_target():
    model = ScriptedModel([(0.0, -1.0)])
    predict_by_scoring(model, [example(5, "neg")], OPTIONS, adapter="digest")
    (request,) = model.requests
    assert [segment.ids for segment in request.segments] == [(1, 2, 5)]
    assert (request.id, request.adapter) == ("rows.jsonl:5", "digest")


def test_one_option_is_no_choice():
    with pytest.raises(DataError, match="1 label is no choice; give at least two"):
        predict_by_scoring(ScriptedModel([]), [example(1)], OPTIONS[:1])


def test_generation_answers_with_text():
    model = ScriptedModel([[ord(one) for one in " Paris\n"]])
    (found,) = predict_by_generation(
        model, [example(3, references=("Paris", "paris"))], decode, max_new_tokens=12
    )
    assert (found.text, found.references) == ("Paris", ("Paris", "paris"))
    assert (found.label, found.gold, found.scores) == (None, None, {})
    assert model.requests[0].max_new_tokens == 12


@pytest.mark.parametrize(
    ("text", "label"),
    [("good news", "pos"), ("Good  News.", "pos"), ("neg", "neg"), ("good", None), ("", None)],
)
def test_generated_words_are_read_as_a_label(text, label):
    model = ScriptedModel([[ord(one) for one in text]])
    words = {"pos": "good news", "neg": "bad news"}
    (found,) = predict_by_generation(
        model, [example(1, "pos")], decode, max_new_tokens=12, words=words
    )
    assert (found.label, found.gold) == (label, "pos")


def test_words_win_over_a_label_of_the_same_name():
    model = ScriptedModel([[ord(one) for one in "no"]])
    words = {"no": "absent", "unclear": "no"}
    (found,) = predict_by_generation(model, [example(1)], decode, max_new_tokens=4, words=words)
    assert found.label == "unclear"


def test_no_rows_and_double_rows_are_refused():
    with pytest.raises(DataError, match="no rows to answer"):
        predict_by_scoring(ScriptedModel([]), [], OPTIONS)
    with pytest.raises(DataError, match="two rows have the same id"):
        predict_by_generation(ScriptedModel([]), [example(1), example(1)], decode, max_new_tokens=4)
