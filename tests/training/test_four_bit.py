"""A 4-bit base that is measured before and between steps is trained as one that is not.

On CPUs with AVX512-BF16, bitsandbytes repacks an idle layer for inference, without gradients.
"""

import pytest

from pretune.adapters.injection import Injection
from pretune.bases import load_base
from pretune.bases.fakes import byte_tokenizer, tiny_model
from pretune.core.records import Request
from pretune.engine.batch import BatchEngine
from pretune.spec.training import TrainSpec
from pretune.training.history import Validation
from training.cases_training import rows, run


@pytest.fixture
def four_bit(tmp_path):
    tiny_model(hidden_size=64, head_dim=16).save_pretrained(tmp_path / "base")
    byte_tokenizer().save_pretrained(tmp_path / "base")
    return lambda: load_base(str(tmp_path / "base"), "nf4")


def test_measuring_changes_nothing(four_bit, tmp_path):
    def measure():
        engine = BatchEngine(Injection(base), base.renderer.end_ids)
        engine.generate([Request("r", rows(base, 1)[0].prompt, None, 2)])
        return {"f1": 0.5}

    spec = TrainSpec(
        epochs=2, batch_size=4, learning_rate=1e-2, evaluations_per_epoch=3, patience=9
    )
    plain = run(tmp_path / "plain", spec, base=four_bit())
    base = four_bit()
    measure()
    measured = run(tmp_path / "run", spec, base=base, validation=Validation(measure, "f1"))
    assert len(measured.measurements) == 6
    assert measured.curve == plain.curve
    assert measured.curve[-1] < measured.curve[0]
