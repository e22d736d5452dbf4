"""What mattered: what made the difference is found, and what did not is not."""

from random import Random

import pytest

from pretune.core.errors import StorageError
from pretune.core.records import Prediction
from pretune.search.matters import FEWEST, difference, what_mattered
from pretune.search.records import Fate, Mark, Trial, load_trial, winner
from pretune.search.report import Outcome, render_html, render_markdown

pytest.importorskip("optuna")


def trial(number, value, *, fate=Fate.FINISHED, parameters=10, broken=(), **knobs):
    return Trial(
        number=number,
        fate=fate,
        why="",
        says=f"trial {number}",
        knobs=knobs,
        spec="",
        value=value,
        marks=(Mark(1, value),),
        parameters=parameters,
        broken=broken,
    )


def answers(one):
    """Of 40 rows as many right ones as its value says."""
    right = round(40 * one.value)
    return [
        Prediction(f"r:{n}", "", ("yes",), "yes" if n < right else "no", {}, "yes")
        for n in range(40)
    ]


def many(count=30):
    draw, found = Random(0), []
    for number in range(count):
        method = draw.choice(["lora", "direft"])
        rate = draw.uniform(0.25, 4.0)
        rank = draw.choice(["4", "8"])
        value = (0.8 if method == "lora" else 0.4) + draw.uniform(-0.02, 0.02)
        found.append(trial(number, value, method=method, rank=rank, **{"learning rate": rate}))
    return found


def test_what_makes_the_difference_is_found():
    trials = many()
    best = winner(trials, higher_is_better=True)
    knobs = what_mattered(trials, best, "accuracy", answers, higher_is_better=True)
    by_name = {knob.name: knob for knob in knobs}
    assert knobs[0].name == "method"
    assert by_name["method"].importance > 0.6
    assert by_name["rank"].importance < 0.2
    assert by_name["method"].low <= by_name["method"].importance <= by_name["method"].high
    difference = by_name["method"].difference
    assert difference.verdict == "better"
    assert difference.delta.value == pytest.approx(0.4, abs=0.05)
    assert by_name["rank"].difference.verdict == "undecided"
    assert [len(by_name[n].choices) for n in ("method", "rank", "learning rate")] == [2, 2, 3]


def test_few_trials_tell_no_importance_but_still_the_differences():
    trials = many(FEWEST - 1)
    best = winner(trials, higher_is_better=True)
    knobs = what_mattered(trials, best, "accuracy", answers, higher_is_better=True)
    assert {knob.importance for knob in knobs} == {None}
    assert next(k for k in knobs if k.name == "method").difference is not None


def test_the_winner_keeps_its_goals_and_is_the_smaller_of_equals():
    trials = [
        trial(0, 0.7, parameters=30),
        trial(1, 0.9, fate=Fate.STOPPED),
        trial(2, 0.9, broken=("adapter_mb < 1: 2",)),
        trial(3, 0.7, parameters=20),
        trial(4, 0.6),
    ]
    assert winner(trials, higher_is_better=True).number == 3
    assert winner(trials, higher_is_better=False).number == 4
    assert winner(trials[1:3], higher_is_better=True) is None


def test_a_damaged_record_is_said(tmp_path):
    one = trial(0, 0.5, method="lora")
    one.save(tmp_path)
    assert load_trial(tmp_path) == one
    (tmp_path / "trial.json").write_text("{")
    with pytest.raises(StorageError, match="is damaged"):
        load_trial(tmp_path)
    assert load_trial(tmp_path / "none") is None


def test_runs_over_other_rows_are_not_compared():
    one, other = answers(trial(0, 0.5)), answers(trial(1, 0.8))
    assert difference(one, other, "accuracy").delta.value == pytest.approx(0.3)
    assert difference(one, other[:-1], "accuracy") is None


def test_a_winner_that_is_worse_on_test_rows_is_said_to_be(tmp_path):
    own, best = trial(0, 0.4, method="lora"), trial(1, 0.5, method="direft")
    worse = difference(answers(trial(2, 0.9)), answers(trial(3, 0.4)), "accuracy")

    def outcome(test_gain):
        return Outcome(
            task="desk",
            metric="accuracy",
            higher_is_better=True,
            spec=tmp_path / "best.yaml",
            run=tmp_path,
            best=best,
            own=own,
            trials=(own, best),
            knobs=(),
            gain=None,
            test=None,
            test_gain=test_gain,
            seconds=1.0,
            measurements=3,
        )

    said = "on test rows the best is worse than the task as it stands"
    for render in (render_html, render_markdown):
        assert said in render(outcome(worse))
        assert said not in render(outcome(None))
