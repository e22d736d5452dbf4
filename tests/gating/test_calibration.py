"""The expected calibration error and its bins."""

import pytest

from pretune.core.records import Prediction
from pretune.gating.calibration import calibration


def answer(confidence: float, right: bool) -> Prediction:
    scores = {"a": confidence, "b": 1 - confidence}
    return Prediction("x:1", "a", ("a",), label="a", scores=scores, gold="a" if right else "b")


def test_the_error_by_hand():
    # Bin 9 of 15 (0.6 to 0.667): 4 rows of 0.65, half right: |0.65 - 0.5| x 4. Bin 13 (0.867 to
    # 0.933): 6 rows of 0.9, all right: 0.1 x 6. Together (0.6 + 0.6) / 10.
    rows = [answer(0.65, n % 2 == 0) for n in range(4)] + [answer(0.9, True) for _ in range(6)]
    found = calibration(rows)
    assert found.ece.value == pytest.approx(0.12)
    assert [(one.rows, one.right) for one in found.bins] == [(4, 0.5), (6, 1.0)]
    assert [one.confidence for one in found.bins] == pytest.approx([0.65, 0.9])
    assert found.bins[0].low == pytest.approx(0.6)
    assert found.ece.low <= 0.12 <= found.ece.high


def test_confidence_that_is_what_it_says_has_no_error():
    rows = [answer(0.75, n % 4 != 0) for n in range(40)]
    assert calibration(rows).ece.value == pytest.approx(0)
    assert calibration([answer(1.0, True)] * 5).ece.value == 0, "the last bin holds 1"


def test_answers_without_probabilities_have_none():
    assert calibration([Prediction("x:1", "a", ("a",))]) is None
    assert calibration([]) is None
