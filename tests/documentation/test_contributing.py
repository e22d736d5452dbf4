"""The method of CONTRIBUTING.md obeys every law, as the page says it will."""

import inspect
import sys
from functools import cache

import pytest
from pydantic import TypeAdapter

from documentation.pages import ROOT, fences, running
from laws import test_laws
from laws.cases import make_adapter, segments_of
from laws.conftest import Setup
from pretune.adapters import files
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases import Base
from pretune.bases.fakes import tiny_base
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.engine.batch import BatchEngine
from pretune.engine.reference import Reference
from pretune.evaluation import metrics
from pretune.spec.methods import METHODS, LoraConfig
from pretune.spec.training import TrainSpec
from pretune.training.loop import train

PAGE = ROOT / "CONTRIBUTING.md"
LAWS = [law for name, law in vars(test_laws).items() if name.startswith("test_law_")]


@cache
def host() -> Base:
    return tiny_base()


@pytest.fixture
def example(monkeypatch):
    """The names that the page's pieces define, registered as the page says."""
    with running() as run:
        for fence in fences(PAGE, "python"):
            run.run(fence)
        config = run.names["Ia3Config"]
        monkeypatch.setitem(METHODS, "ia3", config)
        monkeypatch.setattr(files, "_METHOD", TypeAdapter(config))
        yield run.names


def set_up(on: Base | None = None, **adapters) -> Setup:
    injection = Injection(on or host())
    for name, one in adapters.items():
        injection.mount(name, one)
    mounted.append((injection, adapters))
    ends = injection.base.renderer.end_ids
    return Setup(injection, Reference(injection, ends), BatchEngine(injection, ends))


mounted: list[tuple[Injection, dict]] = []


@pytest.fixture(autouse=True)
def clean():
    yield
    for injection, adapters in mounted:
        for name in adapters:
            injection.unmount(name)
    mounted.clear()


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_method_obeys(law, scope, example, tmp_path):
    adapter = make_adapter(host(), example["Ia3Config"](), scope)
    given = {"base": host(), "adapter": adapter, "set_up": set_up, "tmp_path": tmp_path}
    law(**{name: given[name] for name in inspect.signature(law).parameters})


def test_objective_and_sink_train(example, tmp_path):
    turns = (Turn(Role.USER, "Which rate?"), Turn(Role.TARGET, "4%"))
    rows = [TokenExample(f"x:{n}", segments_of(host(), *turns)) for n in range(4)]
    sink = example["Last"]()
    with tuning(Injection(host()), LoraConfig(), Scope.PROMPT) as tunable:
        train(
            tunable,
            rows,
            TrainSpec(batch_size=2, epochs=1),
            tmp_path,
            objective=example["SMOOTH"],
            sinks=[sink],
        )
    assert sink.step == 2
    assert sink.values["loss"] > 0


def test_metric_is_found_by_name(example):
    metrics._known.cache_clear()
    assert type(metrics.get_metric("contains")).__name__ == "Contains"


def test_modules_of_the_page_are_gone_afterwards():
    with running() as run:
        run.run(fences(PAGE, "python")[0])
        assert hasattr(sys.modules["pretune.spec.methods"], "Ia3Config")
    assert not hasattr(sys.modules["pretune.spec.methods"], "Ia3Config")
