"""A base, and a way to mount adapters on it that leaves nothing behind."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from laws.cases import CONFIGS, VARIANTS, make_adapter
from pretune.adapters.adapter import Adapter
from pretune.adapters.injection import Injection
from pretune.bases import Base
from pretune.bases.fakes import tiny_base
from pretune.engine.batch import BatchEngine
from pretune.engine.reference import Reference


@pytest.fixture(scope="session")
def base() -> Base:
    return tiny_base()


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0]}@{variant[1]}")
def adapter(request: pytest.FixtureRequest, base: Base) -> Adapter:
    name, scope = request.param
    return make_adapter(base, CONFIGS[name], scope)


class Setup(NamedTuple):
    injection: Injection
    reference: Reference
    engine: BatchEngine


@pytest.fixture
def set_up(base: Base) -> Iterator[Callable[..., Setup]]:
    """Mount adapters by name on a fresh injection; hooks are removed at the end."""
    injections: list[tuple[Injection, str]] = []

    def mount(on: Base | None = None, **adapters: Adapter) -> Setup:
        host = on or base
        injection = Injection(host)
        for name, one in adapters.items():
            injection.mount(name, one)
            injections.append((injection, name))
        ends = host.renderer.end_ids
        return Setup(injection, Reference(injection, ends), BatchEngine(injection, ends))

    yield mount
    for injection, name in injections:
        injection.unmount(name)
