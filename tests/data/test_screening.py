"""Duplicates, contradictions and leaks: found in training, never taken out of the test."""

from pretune.core.records import Example
from pretune.core.segments import Role, Turn
from pretune.data.rejected import Reason
from pretune.data.screening import screen
from pretune.data.splits import Split


def row(row_id, asked, answer):
    return Example(row_id, (Turn(Role.USER, asked), Turn(Role.TARGET, answer)))


def run(train=(), validation=(), test=(), closed=True):
    splits = {Split.TRAIN: train, Split.VALIDATION: validation, Split.TEST: test}
    return screen(splits, closed_answers=closed)


def ids(examples):
    return [example.row_id for example in examples]


def found(screened):
    return [(row.row_id, row.reason, row.detail) for row in screened.rejected]


def test_training_keeps_the_first_of_what_stands_twice():
    rows = [row("a:1", "p", "x"), row("a:2", "p", "x"), row("a:3", "p", "y"), row("a:4", "q", "x")]
    train = run(train=rows)[Split.TRAIN]
    assert ids(train.kept) == ["a:1", "a:4"]
    assert found(train) == [
        ("a:2", Reason.DUPLICATE, "asks the same as row a:1"),
        ("a:3", Reason.CONTRADICTORY, "asks the same as row a:1"),
    ]


def test_free_answers_may_differ():
    rows = [row("a:1", "p", "x"), row("a:2", "p", "y"), row("a:3", "p", "y")]
    train = run(train=rows, closed=False)[Split.TRAIN]
    assert ids(train.kept) == ["a:1", "a:2"]
    assert train.repeated == 1
    assert found(train) == [("a:3", Reason.DUPLICATE, "asks the same as row a:1")]


def test_leaks_leave_training_and_validation_but_never_the_test():
    screened = run(
        train=[row("t:1", "p", "x"), row("t:2", "q", "x"), row("t:3", "r", "x")],
        validation=[row("v:1", "p", "x"), row("v:2", "q", "x")],
        test=[row("s:1", "p", "other"), row("s:2", "p", "x")],
    )
    assert ids(screened[Split.TEST].kept) == ["s:1", "s:2"]
    assert screened[Split.TEST].repeated == 1
    assert ids(screened[Split.VALIDATION].kept) == ["v:2"]
    assert found(screened[Split.VALIDATION]) == [
        ("v:1", Reason.LEAK, "asks the same as test row s:1")
    ]
    assert ids(screened[Split.TRAIN].kept) == ["t:3"]
    assert found(screened[Split.TRAIN]) == [
        ("t:1", Reason.LEAK, "asks the same as test row s:1"),
        ("t:2", Reason.LEAK, "asks the same as validation row v:2"),
    ]


def test_rows_of_two_files_with_one_name_are_told_apart():
    rows = [row("a:1", "p", "x"), row("a:1", "p", "x")]
    assert ids(run(train=rows)[Split.TRAIN].kept) == ["a:1"]
