"""What a change of the training rows does: the verdict over seeds, and the table."""

from pretune.evaluation.effects import Impact, effect_of, effects_markdown

ROWS = 100


def answers(labelled, right):
    return labelled([("r", "r" if row in right else "w") for row in range(ROWS)])


def effect(labelled, *runs, variants=(7,)):
    """Each run as the rows that are right without, and with."""
    pairs = [(answers(labelled, before), answers(labelled, after)) for before, after in runs]
    return effect_of(100, "typo", pairs, ["accuracy"], variants=variants, steps=5, seconds=1.0)


def test_gains_loses_cannot_tell(labelled):
    few, many = range(40), range(70)
    assert effect(labelled, (few, many)).impact is Impact.GAINS
    assert effect(labelled, (many, few)).impact is Impact.LOSES
    assert effect(labelled, (range(40), range(42))).impact is Impact.UNDECIDED
    assert effect(labelled, (few, few), variants=(0,)).impact is Impact.NOTHING


def test_a_seed_that_says_the_opposite_leaves_it_open(labelled):
    clear, small, opposite = (range(30), range(80)), (range(40), range(40)), (range(42), range(41))
    assert effect(labelled, clear, small, variants=(7, 7)).impact is Impact.GAINS
    doubtful = effect(labelled, clear, opposite, variants=(7, 7))
    assert doubtful.differences[0].verdict == "better"
    assert doubtful.impact is Impact.UNDECIDED
    assert doubtful.by_seed == ((0.30, 0.80), (0.42, 0.41))


def test_the_table_holds_each_effect(labelled):
    page = effects_markdown(
        "What typos do",
        ["one note"],
        [
            effect(labelled, (range(40), range(70))),
            effect(labelled, (range(4),) * 2, variants=(0,)),
        ],
    )
    lines = page.splitlines()
    assert lines[:3] == ["# What typos do", "", "- one note"]
    assert lines[6].startswith("| 100 | typo | 7 | 0.400 | 0.700 | +0.300 | +0.2")
    assert lines[6].endswith("| gains | 1 |")
    assert lines[7] == "| 100 | typo | 0 | 0.040 |  |  |  |  | nothing to vary | 1 |"
