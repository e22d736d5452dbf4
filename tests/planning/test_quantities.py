"""Goals on sizes, before there is anything to measure."""

import pytest

from laws.cases import CONFIGS
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases.blank import blank_base
from pretune.bases.fakes import byte_tokenizer, tiny_model
from pretune.bases.load import load_base
from pretune.core.scope import Scope
from pretune.planning.quantities import adapter_bytes
from pretune.spec.methods import FullConfig


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapters_file_is_as_large_as_is_said_before(name, precision, folder):
    config, base = CONFIGS[name], load_base(folder, precision)
    scope = Scope.ALL if isinstance(config, FullConfig) else Scope.PROMPT
    with tuning(Injection(base), config, scope) as tunable:
        size = len(tunable.adapter().serialized)
    low, _, high = adapter_bytes(blank_base(folder, precision), config)
    assert low < size < high
