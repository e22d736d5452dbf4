"""Adapters with a run of rows each: computed together where that pays, and always as alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from adapters.test_stacked import ADAPTERS, BASE
from pretune.adapters import runs
from pretune.adapters.injection import NO_SLOT, Injection, Routing
from pretune.adapters.method import LowRank
from pretune.adapters.runs import EqualRuns, OwnRuns, Run
from pretune.adapters.stacked import Stack, StackedRows, Updates

BOTTLENECK = list(ADAPTERS).index("bottleneck")
NOISE = torch.randint(3, 200, (1, 400), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def injection():
    made = Injection(BASE)
    for name, adapter in ADAPTERS.items():
        made.mount(name, adapter)
    yield made
    for name in list(made._mounted):
        made.unmount(name)


@pytest.fixture
def batching(injection):
    """As where products are not taken in float32: a bf16 base, or a GPU's."""
    injection._product = torch.bfloat16
    return injection


def hidden(injection: Injection, rows: list[tuple[int, int]]) -> tuple[torch.Tensor, list]:
    """What the blocks make of runs of ``(slot, length)``, and the edits that did it."""
    slots = torch.tensor([[slot for slot, length in rows for _ in range(length)]])
    with injection.routed(Routing(slots, torch.full_like(slots, -1))):
        ids = NOISE[:, : slots.shape[1]]
        return BASE.backbone(ids, use_cache=False).last_hidden_state[0], list(injection._edits)


def equal(edits: list) -> list[tuple[int, int, int]]:
    return [(e.first, e.length, len(e.members)) for e in edits if isinstance(e, EqualRuns)]


def own(edits: list) -> list[tuple[int, int]]:
    return [(r.start, r.stop) for e in edits if isinstance(e, OwnRuns) for r in e.runs]


def gathered(edits: list) -> list[list[int]]:
    return [list(e._stack.members) for e in edits if isinstance(e, StackedRows)]


def agree(injection: Injection, rows: list[tuple[int, int]]) -> list:
    with torch.no_grad():
        found, edits = hidden(injection, rows)
    expected, alone = hidden(injection, rows)
    assert not equal(alone) + own(alone), "with gradients each is computed alone"
    assert_close(found, expected, rtol=1e-4, atol=1e-4)
    return edits


ROWS = st.tuples(st.integers(NO_SLOT, len(ADAPTERS) - 1), st.sampled_from([1, 3, 17, 17, 20, 41]))


@settings(max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=9), st.sampled_from(["own", "equal", "gathered"]))
def test_together_is_alone(rows, way):
    injection = Injection(BASE)
    if way != "own":
        injection._product = torch.bfloat16
    for name, adapter in ADAPTERS.items():
        injection.mount(name, adapter)
    with pytest.MonkeyPatch.context() as patch:
        if way == "gathered":
            patch.setattr(runs, "_GATHERS", frozenset({"cpu"}))
        agree(injection, rows)
    for name in ADAPTERS:
        injection.unmount(name)


def test_each_low_rank_adapter_with_one_run_is_on_its_own(injection):
    rows = [(0, 20), (1, 3), (NO_SLOT, 5), (3, 20), (2, 30), (BOTTLENECK, 20), (2, 1), (5, 17)]
    found = agree(injection, rows)
    assert own(found) == [(0, 20), (20, 23), (28, 48), (99, 116)], "slot 2 has two runs"


def test_a_part_of_the_rows_is_changed_as_the_whole_is():
    first, second, other = BASE.anatomy.linears[:3]
    assert first.width_in == second.width_in == other.width_in
    updates = [
        Updates({first.name: noise(first, 3), second.name: noise(second, 2)}),
        Updates({second.name: noise(second, 5)}),
    ]
    edit = OwnRuns([Run(2, 9, updates[0]), Run(9, 20, updates[1])])
    sites, columns, end = (first, other, second), [], 0
    for site in sites:
        columns.append(slice(end, end := end + site.width_out))
    x, y = torch.randn(25, first.width_in), torch.randn(25, end)
    expected = y.clone()
    for site, its in zip(sites, columns, strict=True):
        expected[:, its] = edit.edit(site, x, y[:, its].clone())
    for size in (1, 4, 9, 25):
        parts = y.clone()
        for start in range(0, 25, size):
            rows = slice(start, start + size)
            edit.edit_part(list(zip(sites, columns, strict=True)), start, x[rows], parts[rows])
        assert_close(parts, expected)
    changed = expected != y
    for its, rows in zip(columns, ((2, 9), (0, 0), (2, 20)), strict=True):
        assert changed[slice(*rows), its].all()
        assert changed[:, its].sum() == (rows[1] - rows[0]) * changed[:, its].shape[1]


def noise(site, rank: int) -> LowRank:
    return LowRank(torch.randn(rank, site.width_in), torch.randn(site.width_out, rank), 0.5)


def test_neighbours_of_one_length_and_shape_are_one_product(batching):
    rows = [(NO_SLOT, 5), (0, 20), (1, 20), (4, 20), (3, 20), (2, 30)]
    assert equal(agree(batching, rows)) == [(5, 20, 3)], "slot 3 has another rank, 2 more rows"


@pytest.mark.parametrize(
    "rows",
    [
        [(0, 20), (NO_SLOT, 1), (1, 20)],  # not neighbours
        [(0, 20), (1, 19)],  # of unlike length
        [(0, 20), (1, 20), (0, 20)],  # one of two runs
        [(0, 40)],
        [(0, 20), (BOTTLENECK, 20)],
    ],
)
def test_others_stay_alone(batching, rows):
    edits = agree(batching, rows)
    assert equal(edits) == gathered(edits) == []


def test_runs_of_like_lengths_are_padded_where_gathering_is_cheap(batching, monkeypatch):
    monkeypatch.setattr(runs, "_GATHERS", frozenset({"cpu"}))
    rows = [(0, 20), (1, 30), (3, 25), (2, 40), (4, 41), (BOTTLENECK, 20)]
    edits = agree(batching, rows)
    assert gathered(edits) == [[0, 1, 2]], "41 rows are more than twice 20, 3 is of another rank"
    assert len(edits) == 4


@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
def test_a_damaged_adapter_stays_in_its_rows(injection, product):
    injection._product = product
    poison = injection["b"].weights
    kept = {site: {k: v.clone() for k, v in parts.items()} for site, parts in poison.items()}
    for parts in poison.values():
        for value in parts.values():
            value.fill_(torch.nan)
    with torch.no_grad():
        site = BASE.anatomy.linears[-1].module
        slots = torch.tensor([0] * 20 + [1] * 20 + [2] * 20)
        with injection.routed(Routing(slots, torch.full_like(slots, -1))):
            assert len(injection._edits) == 1, "computed together"
            y = site(torch.ones(60, site.in_features))
    for site_name, parts in kept.items():
        for part, value in parts.items():
            poison[site_name][part].copy_(value)
    assert y[:20].isfinite().all()
    assert y[40:].isfinite().all()
    assert y[20:40].isnan().all()


@pytest.mark.parametrize("native", [True, False])
def test_bf16_is_multiplied_in_float32_where_a_processor_would_emulate_it(monkeypatch, native):
    monkeypatch.setattr("pretune.bases.processor.multiplies_bf16", lambda: native)
    draw = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=draw).bfloat16()

    site = BASE.anatomy.linears[0]
    each = [LowRank(drawn(4, site.width_in), drawn(site.width_out, 4), 0.5) for _ in range(3)]
    updates = [Updates({site.name: one}) for one in each]
    x, y = drawn(15, site.width_in), drawn(15, site.width_out)
    exact = torch.cat(
        [
            own_y.float() + 0.5 * own_x.float() @ low.down.float().t() @ low.up.float().t()
            for own_x, own_y, low in zip(x.split(5), y.split(5), each, strict=True)
        ]
    )
    slots = torch.tensor([0, 1, 2]).repeat_interleave(5)
    stack = StackedRows(Stack(dict(enumerate(updates))), slots, range(3), torch.device("cpu"))
    kinds: list[torch.dtype] = []

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "mm" in func.name():
                kinds.append(args[-1].dtype)
            return func(*args, **kwargs or {})

    own_runs = OwnRuns([Run(5 * i, 5 * i + 5, one) for i, one in enumerate(updates)])
    for edit in (EqualRuns(0, 5, updates) if native else own_runs, stack):
        with Watched():
            found = edit.edit(site, x, y.clone())
        assert found.dtype is torch.bfloat16
        assert_close(found.float(), exact, rtol=2**-6, atol=0.1)
    assert set(kinds) == {torch.bfloat16 if native else torch.float32}
