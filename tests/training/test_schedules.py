import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.spec.training import TrainSpec
from pretune.training.schedules import rate_factor


def factors(schedule: str, total: int, warmup: float) -> list[float]:
    spec = TrainSpec(schedule=schedule, warmup=warmup)
    return [rate_factor(spec, step, total) for step in range(total)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # two warm-up steps of 0.2 * 10, then eight: 1 - i/8
        ("linear", [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("constant", [0.5] + [1.0] * 9),
        # (1 + cos(pi * i / 8)) / 2
        ("cosine", [0.5, 1, 1, 0.96194, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.03806]),
    ],
)
def test_by_hand(schedule, expected):
    assert factors(schedule, 10, 0.2) == pytest.approx(expected, abs=1e-5)


@given(
    schedule=st.sampled_from(["linear", "cosine", "constant"]),
    total=st.integers(1, 300),
    warmup=st.floats(0, 0.999),
)
def test_every_step_moves_and_none_beyond_the_peak(schedule, total, warmup):
    found = factors(schedule, total, warmup)
    assert all(0 < factor <= 1 for factor in found)
    assert max(found) == 1
    top = found.index(1)
    assert found[:top] == sorted(found[:top])
    assert found[top:] == sorted(found[top:], reverse=True)
