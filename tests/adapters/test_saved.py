"""What an adapter must hold is known without computing it."""

import pytest

from laws.cases import CONFIGS, make_adapter
from pretune.adapters.registry import build_method
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_are_known_without_the_bases_numbers(family, name):
    base = tiny_base(family)
    adapter = make_adapter(base, CONFIGS[name], Scope.ALL)
    base.model.to("meta")  # whatever reads a number of it fails
    saved = build_method(CONFIGS[name]).saved(base.anatomy)
    assert all(value.is_meta for value in saved.values())
    shapes = {part: value.shape for part, value in saved.items()}
    assert shapes == {part: value.shape for part, value in adapter.weights.items()}
