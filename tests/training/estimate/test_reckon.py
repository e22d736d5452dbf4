"""Reckoning by the code that trains: for every method, scope and family, and what moves it."""

import pytest

from laws.cases import CONFIGS, VARIANTS
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases.fakes import FAMILIES, tiny_base
from pretune.bases.quantized import NF4_BYTES
from pretune.spec.methods import FullConfig, LoraConfig
from pretune.training.estimate.reckon import reckon
from pretune.training.estimate.work import Measuring, Work
from training.estimate.cases_estimate import blank, row, work

BASE = blank()


def phases(some: Work, base=BASE, autocast=False):
    return {one.phase: one.bytes for one in reckon(some, base, autocast=autocast).phases}


@pytest.mark.parametrize(("name", "scope"), VARIANTS)
def test_every_method_and_scope(name, scope):
    some = work(method=CONFIGS[name], scope=scope)
    found = reckon(some, BASE, autocast=False)
    with tuning(Injection(tiny_base()), CONFIGS[name], scope) as real:
        assert found.trained == sum(p.numel() for p in real.parameters.values())
    assert found.phases[0].bytes["activations"] > 0
    assert found.flops > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family):
    measured = Measuring(rows=(row(),) * 2, options=(2, 3))
    found = phases(work(measuring=measured), blank(family))
    assert all(found[phase]["activations"] > 0 for phase in ("step", "measuring"))


def test_weights_adapter_and_optimiser_by_hand():
    step = phases(work())["step"]
    rank, linears = LoraConfig().rank, BASE.anatomy.linears
    own = sum(4 * rank * (site.width_in + site.width_out) for site in linears)
    assert (step["adapter"], step["optimiser"]) == (own, 2 * own)
    assert step["weights"] == pytest.approx(4 * BASE.parameters, rel=0.01)  # and some buffers


def test_activations_grow_with_rows_and_length():
    small, rows, long = (
        phases(work(*size))["step"]["activations"] for size in ((4, 32), (8, 32), (4, 64))
    )
    assert rows == pytest.approx(2 * small, rel=0.05)
    assert long == pytest.approx(2 * small, rel=0.05)


def test_what_saves_memory():
    deep = blank(num_hidden_layers=4)
    plain = phases(work(8), deep)["step"]
    again = phases(work(8, train={"gradient_checkpointing": True}), deep)["step"]
    pieces = phases(work(8, train={"micro_batch_size": 2}), deep)["step"]
    split = phases(work(8, devices=4), deep)["step"]
    low = phases(work(8), deep, autocast=True)["step"]
    private = phases(work(8, train={"privacy": {"epsilon": 8}}), deep)["step"]
    assert again["activations"] < 0.5 * plain["activations"]
    assert pieces["activations"] == pytest.approx(plain["activations"] / 4, rel=0.05)
    assert split["activations"] == pieces["activations"]
    assert private["activations"] == pytest.approx(plain["activations"] / 8, rel=0.05)
    assert private["sum of rows"] == private["adapter"]
    assert split["exchange"] == split["adapter"]  # what devices tell each other
    assert low["activations"] != plain["activations"]


def test_recomputing_under_autocast():
    some = work(train={"gradient_checkpointing": True})
    assert phases(some, autocast=True)["step"]["activations"] > 0


def test_four_bits():
    wide = {"hidden_size": 128, "intermediate_size": 256, "vocab_size": 300}
    whole, packed = blank(precision="bf16", **wide), blank(precision="nf4", **wide)
    matrices = sum(s.width_in * s.width_out for s in whole.anatomy.linears)
    saved = phases(work(), whole)["step"]["weights"] - phases(work(), packed)["step"]["weights"]
    assert saved == pytest.approx((2 - NF4_BYTES) * matrices, rel=0.01)
    assert len(packed.anatomy.linears) == len(whole.anatomy.linears)


def test_blocks_that_are_not_run_are_reckoned():
    # Bases of up to four blocks are run whole; of more, two and four are, and the rest follows.
    sizes = [phases(work(), blank(num_hidden_layers=n))["step"]["activations"] for n in (3, 4, 7)]
    assert sizes[2] == pytest.approx(sizes[1] + 3 * (sizes[1] - sizes[0]), rel=0.001)


def test_full_tuning_keeps_the_base_aside_and_copies_at_the_end():
    from pretune.core.scope import Scope

    found = phases(work(method=FullConfig(), scope=Scope.ALL))
    assert found["step"]["kept weights"] == found["step"]["weights"]
    assert found["keeping"]["copies"] == 2 * found["step"]["weights"]


def test_answers_that_are_written_need_a_cache():
    rows = (row(),) * 3
    some = work(measuring=Measuring(rows=rows, new_tokens=8))
    cache = phases(some)["measuring"]["cache"]
    prompt = sum(count for _, count in rows[0][:-1])
    anatomy = BASE.anatomy
    assert cache == 2 * anatomy.layers * anatomy.kv_width * 4 * 3 * (prompt + 8)
