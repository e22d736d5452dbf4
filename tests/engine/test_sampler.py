"""The sampler against distributions worked out by hand."""

import math
from collections import Counter

import pytest
import torch

from pretune.core.errors import SpecError
from pretune.core.records import Request
from pretune.core.sampling import Sampling
from pretune.core.segments import Role, TokenSegment
from pretune.engine.sampler import NotFinite, choose
from pretune.engine.sequence import Sequence

SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])
LOGITS = SHARES.log()


def sequence(generated=(), prompt=(0,), **sampling) -> Sequence:
    request = Request("r", (TokenSegment(Role.USER, tuple(prompt)),), sampling=Sampling(**sampling))
    one = Sequence(request)
    one.open(None)
    for token in generated:
        one.append(token)
    return one


def drawn(count=4000, logits=LOGITS, **sampling) -> dict[int, float]:
    one = sequence(seed=1, **sampling)
    found = Counter(choose(logits[None], [one])[0].token for _ in range(count))
    return {token: times / count for token, times in found.items()}


def test_greedy_takes_the_best():
    assert choose(LOGITS[None], [sequence()])[0].token == 0


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({"temperature": 1.0}, {0: 0.5, 1: 0.3, 2: 0.15, 3: 0.05}),
        # squares, over their sum 0.365
        ({"temperature": 0.5}, {0: 0.6849, 1: 0.2466, 2: 0.0616, 3: 0.0068}),
        ({"temperature": 1.0, "top_k": 2}, {0: 0.625, 1: 0.375}),
        # 0.5 is not yet 0.6, so the second token belongs to the nucleus
        ({"temperature": 1.0, "top_p": 0.6}, {0: 0.625, 1: 0.375}),
        ({"temperature": 1.0, "top_p": 0.5}, {0: 1.0}),
        # 0.15 is below 0.4 * 0.5
        ({"temperature": 1.0, "min_p": 0.4}, {0: 0.625, 1: 0.375}),
    ],
)
def test_draws_follow_the_narrowed_distribution(sampling, expected):
    found = drawn(**sampling)
    assert found.keys() <= expected.keys()
    for token, share in expected.items():
        # five standard deviations of 4,000 draws
        assert found.get(token, 0) == pytest.approx(share, abs=5 * math.sqrt(share / 4000) + 1e-9)


@pytest.mark.parametrize(
    "sampling", [{}, {"top_p": 0.9}, {"top_k": 5}, {"min_p": 0.1}, {"top_p": 0.5, "min_p": 0.1}]
)
def test_a_large_vocabulary_is_not_sorted_for_a_few_tokens(sampling, monkeypatch):
    """It would take longer than a step of a small base."""
    large = torch.full((5000,), -40.0)
    large[[17, 4000, 4999]] = SHARES[:3].log()
    monkeypatch.setattr(torch.Tensor, "sort", None)
    assert drawn(50, large, temperature=1.0, **sampling).keys() <= {17, 4000, 4999}


@pytest.mark.parametrize(("top_p", "most"), [(0.2, 400), (0.6, 1200)])
def test_top_p_reaches_as_far_as_it_must(top_p, most):
    """All alike but for a little: a nucleus of more tokens than are looked at first."""
    shares = torch.linspace(1.001, 1.0, 2000)
    found = drawn(3000, shares.log(), temperature=1.0, top_p=top_p)
    assert most - 2 <= 1 + max(found) <= most
    assert len(found) > 0.8 * most


def test_a_seed_draws_the_same_in_any_batch():
    alone = [sequence(seed=7, temperature=1.0) for _ in range(2)]
    first = [choose(LOGITS[None], alone[:1])[0].token for _ in range(20)]
    other = sequence(seed=8, temperature=1.0)
    both = [
        choose(LOGITS.expand(2, 4), [other, alone[1]])[1].token  # type: ignore[union-attr]
        for _ in range(20)
    ]
    assert first == both
    assert len(set(first)) > 1


def test_penalties_by_hand():
    logits = torch.tensor([2.0, 1.5, -1.0])
    once = sequence(generated=(0,), prompt=(2,), presence_penalty=0.6)
    assert choose(logits[None], [once])[0].token == 1  # 2.0 - 0.6 < 1.5
    twice = sequence(generated=(0, 0), prompt=(2,), frequency_penalty=0.3)
    assert choose(logits[None], [twice])[0].token == 1  # 2.0 - 2 * 0.3 < 1.5
    single = sequence(generated=(0,), prompt=(2,), frequency_penalty=0.3)
    assert choose(logits[None], [single])[0].token == 0  # 2.0 - 0.3 > 1.5
    said = sequence(prompt=(0,), repetition_penalty=1.5)
    assert choose(logits[None], [said])[0].token == 1  # 2.0 / 1.5 < 1.5
    negative = sequence(prompt=(0,), repetition_penalty=2.0)
    assert choose(torch.tensor([[-1.0, -1.5, -3.0]]), [negative])[0].token == 1  # -1 * 2 < -1.5


def test_log_probabilities_are_those_before_any_change():
    one = sequence(temperature=0.3, top_k=1, logprobs=2, seed=0)
    (chosen,) = choose(LOGITS[None], [one])
    assert chosen.log_prob == pytest.approx(math.log(0.5))
    assert [token for token, _ in chosen.top] == [0, 1]
    assert [value for _, value in chosen.top] == pytest.approx([math.log(0.5), math.log(0.3)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("damage", [[math.nan], [math.inf], [-math.inf], [math.inf, -math.inf]])
def test_a_row_that_is_not_finite_fails_alone(damage, dtype):
    largest = torch.full((4,), 6e4)  # in 16 bits, four of them are more than float16 holds
    damaged = torch.tensor([*damage, *[0.0] * (4 - len(damage))])
    logits = torch.stack([LOGITS, damaged, largest]).to(dtype)
    good, bad, large = choose(logits, [sequence(), sequence(), sequence()])
    assert (good.token, large.token) == (0, 0)
    assert isinstance(bad, NotFinite)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", -0.1, 'temperature "-0.1" is not from 0.0 to 2.0'),
        ("temperature", math.nan, 'temperature "nan"'),
        ("top_p", 0.0, 'top_p "0.0" is not above 0.0 and at most 1.0'),
        ("top_k", -1, 'top_k "-1"'),
        ("min_p", 1.5, 'min_p "1.5"'),
        ("repetition_penalty", 0.0, "repetition_penalty"),
        ("presence_penalty", 3.0, "presence_penalty"),
        ("frequency_penalty", -2.5, "frequency_penalty"),
        ("logprobs", 21, 'logprobs "21" is not from 0 to 20'),
    ],
)
def test_values_out_of_range_are_refused(name, value, words):
    with pytest.raises(SpecError, match=words):
        Sampling(**{name: value})
