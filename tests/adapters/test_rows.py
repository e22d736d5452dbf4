"""Whole, masked and gathered rows are three ways to do the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from laws.cases import CONFIGS, make_adapter
from pretune.adapters.registry import build_method
from pretune.adapters.rows import IndexedRows, MaskedRows, SlicedRows, WholeRows, rows_of
from pretune.bases.fakes import tiny_base
from pretune.core.scope import Scope

CPU = torch.device("cpu")
COUNT, WIDTH, RANK = 8, 4, 2

masks = st.lists(st.booleans(), min_size=COUNT, max_size=COUNT).filter(any).map(torch.tensor)
no_virtual = torch.full((COUNT,), -1)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kinds(mask: torch.Tensor) -> list:
    """Every kind that can stand for ``mask``."""
    found = [MaskedRows(None, mask[:, None]), IndexedRows(None, mask.nonzero().flatten())]
    return [*found, WholeRows(None)] if mask.all() else found


@given(masks)
def test_kinds_agree(mask):
    x, y = noise(COUNT, RANK), noise(COUNT, WIDTH, seed=1)
    weight = noise(WIDTH, RANK, seed=2)
    expected = y.clone()
    for row in mask.nonzero().flatten().tolist():  # the obvious way
        expected[row] += weight @ x[row]
    for rows in kinds(mask):
        h = rows.take(x)
        assert_close(rows.add_product(y, h, weight), expected)
        assert_close(rows.add(y, h @ weight.t()), expected)


@pytest.mark.parametrize("emulated", [True, False])
def test_kinds_agree_in_bf16(monkeypatch, emulated):
    """Where a processor would emulate the product it is float32's, rounded once or twice."""
    monkeypatch.setattr("pretune.bases.processor.multiplies_bf16", lambda: not emulated)
    x, y, weight = noise(COUNT, RANK), noise(COUNT, WIDTH, seed=1), noise(WIDTH, RANK, seed=2)
    exact = y.bfloat16().float() + x.bfloat16().float() @ weight.bfloat16().float().t()
    for rows in [*kinds(torch.ones(COUNT, dtype=torch.bool)), SlicedRows(None, 0, COUNT)]:
        found = rows.add_product(y.bfloat16(), rows.take(x.bfloat16()), weight.bfloat16())
        assert found.dtype is torch.bfloat16
        assert_close(found.float(), exact, rtol=2**-7, atol=2**-7)


class Watched(TorchDispatchMode):
    """Collects the types that matrices are multiplied in."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "mm" in func.name() or "linear" in func.name():
            self.kinds |= {one.dtype for one in args if isinstance(one, torch.Tensor)}
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", sorted(CONFIGS.keys() - {"full"}))  # its products are the base's
def test_no_method_multiplies_in_bf16_where_that_is_emulated(monkeypatch, name, native):
    monkeypatch.setattr("pretune.bases.processor.multiplies_bf16", lambda: native)
    base, method = tiny_base(), build_method(CONFIGS[name])
    known = make_adapter(base, CONFIGS[name], Scope.ALL).by_site(base)
    sites = {site.name: site for site in method.sites(base.anatomy)}
    rows = SlicedRows(None, 0, COUNT)
    for place, parts in method.frozen(base.anatomy, known).items():
        site = sites.get(place)
        if site is None or not {"A", "down"} & parts.keys():
            continue
        x, y = noise(COUNT, site.width_in).bfloat16(), noise(COUNT, site.width_out, seed=1)
        exact = method.edit(site, parts, x.float(), y.bfloat16().float(), rows)
        with Watched() as watched:
            found = method.edit(site, parts, x, y.bfloat16(), rows)
        assert found.dtype is torch.bfloat16
        assert watched.kinds == {torch.bfloat16 if native else torch.float32}
        assert_close(found.float(), exact, rtol=2**-5, atol=2**-3)


@given(masks)
def test_values_of_more_axes(mask):
    """A norm over heads acts on ``(N, heads, d)``."""
    y = noise(COUNT, 3, WIDTH)
    expected = torch.where(mask[:, None, None], y * 2, y)
    for rows in kinds(mask):
        assert_close(rows.add(y, rows.take(y)), expected)


@given(masks)
def test_not_a_number_stays_in_its_row(mask):
    x = noise(COUNT, RANK)
    x[~mask] = torch.nan
    y = noise(COUNT, WIDTH)
    weight = noise(WIDTH, RANK)
    for rows in kinds(mask):
        h = rows.take(x)
        for result in (rows.add_product(y, h, weight), rows.add(y, h @ weight.t())):
            assert result.isfinite().all()
            assert torch.equal(result[~mask], y[~mask])


@given(masks, masks)
def test_virtual_rows_are_written(mask, is_virtual):
    here = (mask & is_virtual).nonzero().flatten().tolist()
    virtual = torch.where(is_virtual, is_virtual.cumsum(0) - 1, -1)
    rows = rows_of(mask, virtual, CPU)
    y, values = noise(COUNT, WIDTH), noise(COUNT, WIDTH, seed=1)
    expected = y.clone()
    for row in here:
        expected[row] = values[virtual[row]]
    if not here:
        assert rows.virtual is None
    else:
        assert torch.equal(rows.virtual.write(y, values), expected)


@pytest.mark.parametrize(
    ("touched", "kind"), [(COUNT, WholeRows), (COUNT - 1, MaskedRows), (1, IndexedRows)]
)
def test_kind_follows_the_share(touched, kind):
    mask = torch.arange(COUNT) < touched
    assert type(rows_of(mask, no_virtual, CPU)) is kind
