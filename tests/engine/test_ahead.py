"""Adapters that are read before the engine asks for them."""

import threading
from concurrent.futures import Future

import pytest
from torch.testing import assert_close

from laws.cases import CONFIGS, make_adapter, request_of
from laws.probe import SMALL, Probe
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError
from pretune.core.records import FinishReason
from pretune.core.scope import Scope
from pretune.engine.ahead import Ahead


@pytest.fixture(scope="module")
def base():
    return tiny_base()


class Shelf:
    """Adapters that can be held back, and the names that were asked for."""

    def __init__(self, base) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.damaged: set[str] = set()
        self._adapter = make_adapter(base, CONFIGS["lora"], Scope.PROMPT)

    def __call__(self, name):
        self.asked.append(name)
        self.open.wait(10)
        if name in self.damaged:
            raise AdapterError("damaged")
        return self._adapter


def read(probe: Probe, name: str) -> None:
    """Wait until what is read ahead for ``name`` is there."""
    probe._slots._ahead._begun[name].exception(10)


def test_what_was_read_ahead_is_there_in_the_first_step(base):
    shelf = Shelf(base)
    probe = Probe(base, shelf)
    probe.expect("a")
    probe.expect("a")
    read(probe, "a")
    request = request_of(base, "a", most=2)
    probe.submit(request)
    probe.step()
    assert len(probe.pieces) == 1, "its prompt was written at once"
    assert shelf.asked == ["a"]
    done = probe.finish()
    assert probe.stats().adapter_loads == 1
    probe.close()
    plain = Probe(base, shelf)
    assert done == plain.finish(request)
    assert_close(probe.logits, plain.logits)
    plain.close()


def test_what_is_resident_or_coming_is_not_read_again(base):
    shelf = Shelf(base)
    probe = Probe(base, shelf)
    probe.finish(request_of(base, "a", most=1))
    probe.expect("a")
    shelf.open.clear()
    probe.submit(request_of(base, "b", most=1))
    probe._scheduler._slots.ready("b")
    probe.expect("b")
    shelf.open.set()
    probe.finish()
    assert shelf.asked == ["a", "b"]
    probe.close()


def test_a_failure_ahead_is_tried_anew_and_told_to_the_request(base):
    shelf = Shelf(base)
    probe = Probe(base, shelf)
    shelf.damaged = {"a", "b"}
    for name in "ab":
        probe.expect(name)
        read(probe, name)
    shelf.damaged = {"b"}
    for name, reason in (("a", FinishReason.LENGTH), ("b", FinishReason.FAILED)):
        request = request_of(base, name, most=1)
        assert probe.finish(request)[request.id].reason is reason
    assert shelf.asked == ["a", "b", "a", "b"]
    probe.close()


def test_no_more_than_there_are_slots_and_what_nobody_came_for_gives_way(base):
    shelf = Shelf(base)
    probe = Probe(base, shelf, SMALL._replace(slots=2))
    shelf.open.clear()
    for name in "abc":
        probe.expect(name)
    assert set(probe._slots._ahead._begun) == {"a", "b"}
    shelf.open.set()
    for name in "ab":
        read(probe, name)
    probe.expect("d")
    assert set(probe._slots._ahead._begun) == {"b", "d"}
    probe.close()
    assert not probe._slots._ahead._begun
    probe.expect("e")
    assert "e" not in shelf.asked


def test_from_many_threads_each_name_is_read_once():
    begun: list[str] = []

    def reads(name: str) -> "Future[str]":
        begun.append(name)
        found: Future[str] = Future()
        found.set_result(name)
        return found

    ahead = Ahead(reads, 100)
    names = [f"{i}" for i in range(50)]
    threads = [
        threading.Thread(target=lambda: [ahead.begin(name) for name in names]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == sorted(names)
    assert ahead.take("7").result() == "7"
    assert ahead.take("7") is None
