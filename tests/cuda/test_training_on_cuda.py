"""Two steps of every method x scope on CUDA: the losses of the CPU."""

from dataclasses import replace

import pytest
from accelerate.state import AcceleratorState

from laws.cases import CONFIGS, VARIANTS
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.spec.training import TrainSpec
from training.cases_training import OBJECTIVES, objective_of, rows, run

TWO = TrainSpec(max_steps=2, batch_size=4, learning_rate=1e-2)


@pytest.fixture(autouse=True)
def _own_state():
    """Accelerate keeps one device a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def both(moved, tmp_path, spec=TWO, **options):
    here = run(tmp_path / "cpu", spec, base=tiny_base(), **options)
    AcceleratorState._reset_state(reset_partial_state=True)
    there = run(tmp_path / "cuda", spec, base=moved(tiny_base()), **options)
    assert there.curve == pytest.approx(here.curve, rel=1e-3)
    return here, there


@pytest.mark.parametrize(("name", "scope"), VARIANTS, ids=lambda value: str(value))
def test_every_method_trains(moved, tmp_path, name, scope):
    examples = rows(tiny_base(), 8)
    if scope is Scope.SUFFIX:
        examples = [
            replace(e, segments=(TokenSegment(Role.CONTEXT, (90, 91)), *e.segments))
            for e in examples
        ]
    both(moved, tmp_path, config=CONFIGS[name], scope=scope, examples=examples)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_trains(moved, tmp_path, kind):
    both(moved, tmp_path, objective=objective_of(kind, tmp_path))


@pytest.mark.parametrize("change", [{"gradient_checkpointing": True}, {"micro_batch_size": 2}])
def test_ways_of_training(moved, tmp_path, change):
    both(moved, tmp_path, TWO.model_copy(update=change))


def test_bf16_products(moved, tmp_path):
    result = run(tmp_path, TWO.model_copy(update={"precision": "bf16"}), base=moved(tiny_base()))
    assert result.steps == 2
