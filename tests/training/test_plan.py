from hypothesis import given
from hypothesis import strategies as st

from pretune.core.records import TokenExample
from pretune.core.segments import Role, TokenSegment
from pretune.spec.methods import LoraConfig, PromptTuningConfig
from pretune.spec.training import TrainSpec
from pretune.training.plan import Plan, batch_size, shares


def plan(count: int, **options) -> Plan:
    examples = [
        TokenExample(f"made:{i}", (TokenSegment(Role.USER, (1,) * (i % 7 + 1)),))
        for i in range(count)
    ]
    spec = TrainSpec(**options)
    return Plan(examples, spec, batch_size(LoraConfig(), spec))


def test_a_method_brings_its_own_batch():
    assert batch_size(PromptTuningConfig(), TrainSpec()) == PromptTuningConfig.batch_size == 8
    assert batch_size(PromptTuningConfig(), TrainSpec(batch_size=5)) == 5


@given(count=st.integers(1, 60), batch=st.integers(1, 20), epochs=st.integers(1, 3))
def test_each_epoch_sees_every_row_once(count, batch, epochs):
    made = plan(count, batch_size=batch, epochs=epochs)
    seen = [made.rows(step) for step in range(made.steps)]
    for epoch in range(epochs):
        steps = seen[epoch * made.steps_per_epoch : (epoch + 1) * made.steps_per_epoch]
        assert sorted(i for rows in steps for i in rows) == list(range(count))


def test_a_step_is_the_same_from_anywhere():
    forward, backward = plan(30, batch_size=4), plan(30, batch_size=4)
    assert [forward.rows(s) for s in range(24)] == [backward.rows(s) for s in range(23, -1, -1)][
        ::-1
    ]
    assert forward.rows(0) != plan(30, batch_size=4, seed=1).rows(0)


def test_measures():
    def steps(**options):
        made = plan(40, batch_size=4, **options)  # ten steps in an epoch
        return [step for step in range(made.steps + 1) if made.measures(step)]

    assert steps(epochs=2) == [10, 20]
    assert steps(epochs=2, evaluations_per_epoch=4) == [2, 5, 8, 10, 12, 15, 18, 20]
    assert steps(epochs=2, max_steps=13) == [10, 13]
    assert steps(epochs=1, max_steps=3) == [3]
    assert steps(epochs=1, evaluations_per_epoch=50) == list(range(1, 11))


@given(
    rows=st.lists(st.integers(), unique=True, max_size=40),
    processes=st.integers(1, 5),
    most=st.integers(1, 9),
)
def test_shares_are_a_partition(rows, processes, most):
    parts = [shares(rows, processes, process, most) for process in range(processes)]
    assert sorted(i for part in parts for piece in part for i in piece) == sorted(rows)
    assert all(0 < len(piece) <= most for part in parts for piece in part)
