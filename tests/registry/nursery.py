"""Processes that die at a registry: run by test_crashes.py, in one light process that forks many.

``kill ROOT TIMES``: a child changes a task as fast as it can until SIGKILL, many times over.
``every ROOT``: each operation, in a child that dies at its first file operation, its second, and so
on; and in one whose first, second, ... fails once, or from there on for good.
"""

import errno
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pretune.core.errors import PretuneError
from pretune.registry import Registry, TaskState
from pretune.registry.collect import collect
from pretune.registry.pins import Pin
from registry.cases import Made, evidence_of, filled, make

UNTOUCHED, WENT_ON, FAILED, DIED = 0, 3, 7, 9
"""How a child ends: before what was to go wrong, in spite of it, with a known error, or at once."""


def change(registry: Registry, made: list[Made], state: TaskState) -> TaskState:
    """The change that follows ``state``: told by its history alone, so that all agree on it."""
    step = len(state.history)
    one = made[step // 4 % len(made)].digest
    if step % 4 == 2 and state.previous:
        return registry.roll_back("desk")
    if step % 4 == 3:
        return registry.promote("desk", next(m.digest for m in made if m.digest != state.current))
    if one == state.current:
        one = made[(step // 4 + 1) % len(made)].digest
    return registry.promote("desk", one)


def kill(root: Path, times: int) -> None:
    registry, made = filled(root)
    registry.promote("desk", made[0].digest)
    chance = random.Random(0)
    changes = 0
    for _ in range(times):
        before = registry.task("desk").history
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            own = Registry(registry.files.root)
            state = own.task("desk")
            while True:
                state = change(own, made, state)
                os.write(writing, b".")
        os.close(writing)
        told = chance.randrange(4)
        for _ in range(told):
            os.read(reading, 1)
            registry.task("desk")  # whole at every moment, or it raises
        time.sleep(chance.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while piece := os.read(reading, 4096):
            told += len(piece)
        os.close(reading)
        state = Registry(registry.files.root).task("desk")
        assert state.history[: len(before)] == before, "the past has changed"
        new = len(state.history) - len(before)
        assert told <= new <= told + 1, f"{told} changes were acknowledged, {new} are there"
        changes += new
        check(registry)
        change(registry, made, state)  # no dead writer is waited for
    collect(registry)
    assert not list(registry.files.leftovers())
    print(changes)


def check(registry: Registry) -> None:
    """Every state reads whole, and all that it needs is there and whole."""
    for name in registry.names():
        for digest in registry.task(name).kept:
            version = registry.files.read_version(digest)
            assert registry.files.adapter_whole(version.adapter), "an adapter is not whole"


OPERATIONS: dict[str, Callable[[Registry, list[Made], Made], object]] = {
    "add": lambda r, _, new: r.add(new.version, new.folder),
    "promote": lambda r, made, _: r.promote("desk", made[2].digest),
    "gate": lambda r, made, _: r.gate("desk", made[2].digest, evidence_of(made[2].version)),
    "roll back": lambda r, *_: r.roll_back("desk"),
    "canary": lambda r, made, _: r.canary("desk", made[2].digest),
    "shadow": lambda r, made, _: r.shadow("desk", made[2].digest),
    "remove": lambda r, *_: r.remove("desk"),
    "collect": lambda r, *_: collect(r),
    "pin": lambda r, made, _: pin(r, made[0].digest),
}


def pin(registry: Registry, digest: str) -> None:
    with registry.locked():
        held = Pin(registry.files.pins)
        held.hold([digest])
    held.release()


def every(root: Path) -> None:
    registry, made = filled(root)
    new = make(root / "made", "desk", 9)
    registry.promote("desk", made[0].digest)
    registry.promote("desk", made[1].digest)
    old = make(root / "made", "counter", 1)
    registry.add(old.version, old.folder)
    registry.remove("counter")  # something for the collection
    trials, before, place = 0, states(registry), root / "trial"
    for name, operation in OPERATIONS.items():
        complete = copy(registry, root / "complete")
        operation(complete, made, new)
        after = states(complete)
        for way, step in (("die", 1), ("fail once", 2), ("fail for good", 5)):
            for number in range(0, 1000, step):
                trial = copy(registry, place)
                code = in_child(way, number, place, partial(operation, trial, made, new))
                trials += 1
                check(trial)
                if code == UNTOUCHED:
                    break
                allowed = (DIED,) if way == "die" else (FAILED, WENT_ON)
                assert code in allowed, f"{name}, {way} at {number}: {code}"
                assert states(trial) in (before, after), f"{name}, {way} at {number}: half done"
                if states(trial) == before:
                    operation(trial, made, new)
                    assert states(trial) == after
                collect(trial)
                assert not list(trial.files.leftovers())
                check(trial)
            assert number > 3, f"{name}: no file operation was seen"
    print(trials)


def copy(registry: Registry, place: Path) -> Registry:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(registry.files.root, place)
    return Registry(place)


def states(registry: Registry) -> dict[str, list[tuple[object, object]]]:
    """All histories, without times."""
    return {
        name: [(one.what, one.version) for one in registry.task(name).history]
        for name in registry.names()
    }


SEEN = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir"}
WRITING = SEEN - {"os.listdir", "os.scandir", "os.remove", "os.rmdir"}


def in_child(way: str, number: int, place: Path, operation: Callable[[], object]) -> int:
    """The exit code of a process whose file operation ``number`` goes wrong this ``way``."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal count
        if event not in SEEN or not str(args[0]).startswith(str(place)):
            return
        count += 1
        if way == "die" and count > number:
            os._exit(DIED)
        writes = event in WRITING and (event != "open" or args[1] not in ("r", "rb"))
        if (count == number + 1 and way == "fail once") or (
            count > number and way == "fail for good" and writes
        ):
            raise OSError(errno.ENOSPC, "No space left on device")

    sys.addaudithook(hook)
    try:
        operation()
    except PretuneError:
        os._exit(FAILED)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(WENT_ON if count > number else UNTOUCHED)


if __name__ == "__main__":
    what, where, *more = sys.argv[1:]
    kill(Path(where), int(more[0])) if what == "kill" else every(Path(where))
