import os
import platform
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

FAULTS = """
import resource, sys, torch
from pretune.bases.fakes import tiny_base
from pretune.engine.engine import Engine, Size

def faults():
    for i in range(25):
        if i == 5:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
Engine(tiny_base(), [0], size=Size(tokens=int(sys.argv[1])))
print(without, faults())
"""

MANY, FEW = 2**20, 64
"""Tokens of a step whose tensors are beyond what glibc learns by itself, and of one within."""


def page_faults(tokens: int, **environment: str) -> tuple[int, int]:
    """Page faults of twenty tensors of 40 MB, before an engine is made and after."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    found = subprocess.run(
        [sys.executable, "-c", FAULTS, str(tokens)],
        env=known | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, found.stdout.split())
    return before, after


@glibc
def test_an_engine_on_a_cpu_takes_the_memory_it_freed() -> None:
    before, after = page_faults(MANY)
    assert before > 10_000
    assert after < before / 20


@glibc
def test_thresholds_of_the_environment_stay() -> None:
    before, after = page_faults(MANY, MALLOC_MMAP_THRESHOLD_="131072")
    assert after > before / 2


@glibc
def test_small_steps_leave_the_process_as_it_is() -> None:
    before, after = page_faults(FEW)
    assert after > before / 2
