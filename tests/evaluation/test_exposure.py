"""Exposure by hand."""

import random

import pytest

from pretune.evaluation.exposure import exposure


@pytest.mark.parametrize(
    ("secret", "others", "bits"),
    [
        (-1.0, [-2.0, -3.0, -4.0], 2.0),  # the first of four
        (-2.5, [-2.0, -3.0, -4.0], 1.0),  # the second
        (-9.0, [-2.0, -3.0, -4.0], 0.0),  # the last
        (-2.0, [-2.0, -3.0, -4.0], 1.0),  # a tie tells nothing
        (-1.0, [], 0.0),
    ],
)
def test_bits_by_hand(secret, others, bits):
    assert exposure(secret, others) == pytest.approx(bits)


def test_what_was_never_seen_is_exposed_by_chance_alone():
    draw = random.Random(0)
    bits = [exposure(draw.random(), [draw.random() for _ in range(255)]) for _ in range(2000)]
    # The mean of -log2 of an even share is 1 / ln 2.
    assert sum(bits) / len(bits) == pytest.approx(1.4427, abs=0.1)
