import pytest

from pretune.bases.fakes import tiny_base
from pretune.planning.floor import floor_of, unshared
from pretune.spec.goals import Goal
from pretune.training.estimate.speed import Speed

BASE = tiny_base()
WEIGHTS = sum(site.width_in * site.width_out for site in BASE.anatomy.linears)
SPEED = Speed(flops=2.0 * WEIGHTS * 1000, bytes=1e9)
"""A token a millisecond."""


def floor(text, prompts, answers):
    return floor_of(Goal.model_validate(text), BASE, SPEED, prompts, answers)


def test_the_products_of_prompt_and_answer():
    # 100 prompt tokens and 10 answer tokens are 109 passes of a token: the first answer token comes
    # with the prompt's last.
    assert floor("p99_latency_ms < 500", [100], [10]).milliseconds == pytest.approx(109)
    assert floor("p99_ttft_ms < 500", [100], [10]).milliseconds == pytest.approx(100)


def test_the_percentile_is_that_of_the_rows():
    prompts, answers = list(range(1, 101)), [1] * 100
    assert floor("p50_latency_ms < 500", prompts, answers).milliseconds == pytest.approx(50)
    assert floor("p99_latency_ms < 500", prompts, answers).milliseconds == pytest.approx(99)


def test_a_goal_below_the_floor_is_said():
    found = floor("p99_latency_ms < 50", [100], [1])
    assert not found.possible
    assert "the products alone take 100 ms, above the goal" in found.reason
    assert floor("p99_latency_ms < 101", [100], [1]).possible


def test_a_load_that_the_machine_cannot_carry():
    found = floor("p99_latency_ms < 500 at 20 rps", [100], [1])  # 20 x 0.1 s of work a second
    assert found.busy == pytest.approx(2)
    assert not found.possible
    assert "20 requests a second take 2.0 times the products" in found.reason
    assert floor("p99_latency_ms < 500 at 5 rps", [100], [1]).possible


def test_what_prompts_begin_with_alike_is_read_once():
    document = tuple(range(2000))
    asked = [(*document, 1, 2), (*document, 1, 3, 4), (7,) * 50, (*document, 9)]
    assert unshared(asked) == [1, 2, 50, 1]
    assert unshared([(5, 6), (5, 6)]) == [1, 1], "the last token gives the first answer token"
    assert unshared([(5, 6)]) == [2]
    assert unshared([]) == []
