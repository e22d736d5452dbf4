"""Adapters that were asked for last are in memory, and no more than have room."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from pretune.adapters.kept import Kept
from pretune.core.errors import AdapterError

SIZE = 400


class Disk:
    def __init__(self):
        self.read: list[str] = []

    def __call__(self, name):
        self.read.append(name)
        if name == "damaged":
            raise AdapterError("damaged")
        return SimpleNamespace(name=name, weights={"A": torch.zeros(60), "B": torch.zeros(40)})


def test_what_was_read_is_read_no_more():
    disk = Disk()
    kept = Kept(disk, 10 * SIZE)
    assert [kept(name).name for name in "abab"] == list("abab")
    assert disk.read == ["a", "b"]


def test_who_was_asked_for_longest_ago_goes():
    disk = Disk()
    kept = Kept(disk, 2 * SIZE)
    for name in "abac":  # b makes room for c
        kept(name)
    kept("a")
    assert disk.read == ["a", "b", "c"]
    kept("b")
    assert disk.read == ["a", "b", "c", "b"]


@pytest.mark.parametrize("most", [0, SIZE - 1])
def test_without_room_every_one_is_read(most):
    disk = Disk()
    kept = Kept(disk, most)
    assert [kept("a").name, kept("a").name] == ["a", "a"]
    assert disk.read == ["a", "a"]


def test_a_failure_is_told_and_tried_again():
    disk = Disk()
    kept = Kept(disk, SIZE)
    for _ in range(2):
        with pytest.raises(AdapterError, match="damaged"):
            kept("damaged")
    assert disk.read == ["damaged"] * 2


def test_many_threads_keep_no_more_than_has_room():
    kept = Kept(Disk(), 3 * SIZE)
    with ThreadPoolExecutor(8) as pool:
        names = [str(i % 7) for i in range(400)]
        assert [one.name for one in pool.map(kept, names)] == names
    assert kept._bytes == SIZE * len(kept._adapters) <= 3 * SIZE
