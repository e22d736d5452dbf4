"""Stable splits: a row's split depends on its own content only, so new rows never move others."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum


class Split(StrEnum):
    """The three uses of rows."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def position(key: str) -> float:
    """Where ``key`` falls in [0, 1), evenly over all keys and the same for ever."""
    head = hashlib.sha256(key.encode()).digest()[:8]
    return (int.from_bytes(head) >> 11) / 2**53


def split_of(key: str, shares: Mapping[Split, float]) -> Split:
    """The split of the row with content ``key``.

    ``shares`` holds what is cut for test and validation. Test is cut first, so that another
    validation share leaves the test rows as they are.
    """
    place = position(key)
    test = shares.get(Split.TEST, 0.0)
    if place < test:
        return Split.TEST
    if place < test + shares.get(Split.VALIDATION, 0.0):
        return Split.VALIDATION
    return Split.TRAIN
