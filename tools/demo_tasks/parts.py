"""Which patterns and fillers the training, validation and test rows may use."""

from collections.abc import Sequence
from enum import StrEnum


class Part(StrEnum):
    """A split of a task's rows; the names are those of the task file's ``data`` section."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_T, _V, _E = Part.TRAIN, Part.VALIDATION, Part.TEST
_CYCLE = (_T, _T, _T, _E, _T, _V, _T, _T, _E, _T, _T, _E)
"""The part that the n-th pattern of a section belongs to. Two thirds are seen in training, and even
a section of six has one for each of the other parts."""

_SHARED_UP_TO = 9
"""Shorter lists (weekdays, kinds of card) are shared by all parts."""


def patterns_of(patterns: Sequence[str], part: Part) -> list[str]:
    """The ``patterns`` of ``part``, by their place in the section."""
    return [p for i, p in enumerate(patterns) if _CYCLE[i % len(_CYCLE)] is part]


def fillers_of(fillers: Sequence[str], part: Part) -> list[str]:
    """The ``fillers`` of ``part``: the last quarter of a long list never occurs in training, and
    the other parts use the whole list."""
    if part is not Part.TRAIN or len(fillers) <= _SHARED_UP_TO:
        return list(fillers)
    return list(fillers[: len(fillers) * 3 // 4])
