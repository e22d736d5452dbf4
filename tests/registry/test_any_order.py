"""Any order of operations: the registry is what a plain model of it says, and all is whole."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pretune.core.errors import PretuneError
from pretune.registry import Registry
from pretune.registry.collect import collect
from pretune.registry.pins import Pin
from registry.cases import Made, make

COUNT = 5
numbers = st.integers(0, COUNT - 1)


class AnyOrder(RuleBasedStateMachine):
    """The model: lists of numbers, written as a user would think of them."""

    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.registry = Registry.create(root / "registry")
        self.made: list[Made] = [make(root / "made", "desk", number) for number in range(COUNT)]
        self.added: list[int] = []
        self.promoted: list[int] = []
        self.here: set[int] = set()
        self.canary = self.shadow = self.pinned = None
        self.pin: Pin | None = None

    def teardown(self):
        if self.pin:
            self.pin.release()
        self.folder.cleanup()

    def number(self, digest: str | None) -> int | None:
        return next((i for i, one in enumerate(self.made) if one.digest == digest), None)

    def needed(self) -> set[int]:
        current = self.promoted[-1:]
        newer = self.added[self.added.index(current[0]) + 1 :] if current else self.added
        return {*self.promoted[-2:], *newer, self.canary, self.shadow} - {None}

    def current_ends(self):
        current = self.promoted[-1] if self.promoted else None
        self.canary = None if self.canary == current else self.canary
        self.shadow = None if self.shadow == current else self.shadow

    @rule(number=numbers)
    def add(self, number):
        one = self.made[number]
        self.registry.add(one.version, one.folder)
        if number not in self.needed():
            self.added = [*(n for n in self.added if n != number), number]
        self.here.add(number)

    @precondition(lambda self: self.added)
    @rule(number=numbers)
    def promote(self, number):
        if number not in self.here or number not in self.added:
            with pytest.raises(LookupError):
                self.registry.promote("desk", self.made[number].digest)
            return
        self.registry.promote("desk", self.made[number].digest[:20])
        if self.promoted[-1:] != [number]:
            self.promoted.append(number)
        self.current_ends()

    @precondition(lambda self: self.added)
    @rule()
    def roll_back(self):
        if len(self.promoted) < 2 or self.promoted[-2] not in self.here:
            with pytest.raises(PretuneError):
                self.registry.roll_back("desk")
            return
        self.registry.roll_back("desk")
        self.promoted.pop()
        self.current_ends()

    @precondition(lambda self: self.added)
    @rule(number=numbers | st.none(), kind=st.sampled_from(["canary", "shadow"]))
    def beside(self, number, kind):
        change = getattr(self.registry, kind)
        possible = number is None or (
            number in self.here and number in self.added and self.promoted
            and self.promoted[-1] != number
        )  # fmt: skip
        digest = None if number is None else self.made[number].digest
        if not possible:
            with pytest.raises(PretuneError):
                change("desk", digest)
            return
        change("desk", digest)
        setattr(self, kind, number)

    @precondition(lambda self: self.added)
    @rule()
    def remove(self):
        self.registry.remove("desk")
        self.added, self.promoted, self.canary, self.shadow = [], [], None, None

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def use(self, data):
        self.pinned = data.draw(st.sampled_from(sorted(self.here)))
        with self.registry.locked():
            self.pin = self.pin or Pin(self.registry.files.pins)
            self.pin.hold([self.made[self.pinned].digest])

    @precondition(lambda self: self.pin)
    @rule()
    def use_no_more(self):
        self.pin.release()
        self.pin = self.pinned = None

    @rule()
    def collect(self):
        gone = {self.number(digest) for digest in collect(self.registry).versions}
        expected = self.here - self.needed() - {self.pinned}
        assert gone == expected
        self.here -= expected

    @invariant()
    def registry_is_as_the_model_says(self):
        here = {self.number(digest) for digest in self.registry.files.version_names()}
        assert here == self.here
        for number in self.here:
            assert self.registry.files.adapter_whole(self.made[number].version.adapter)
        if not self.added:
            assert self.registry.names() == []
            return
        state = Registry(self.registry.files.root).task("desk")
        current = self.promoted[-1] if self.promoted else None
        previous = self.promoted[-2] if len(self.promoted) > 1 else None
        canary = self.number(state.canary.version) if state.canary else None
        found = (self.number(state.current), self.number(state.previous), canary)
        assert found == (current, previous, self.canary)
        assert self.number(state.shadow) == self.shadow
        assert {self.number(digest) for digest in state.kept} == self.needed()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=25, stateful_step_count=25)
