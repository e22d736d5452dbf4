"""The floor of a latency: what a request's products take at the best speed of this machine.

No server of ours or others is faster on it, so a goal below the floor is lost before training. What
prompts begin with alike is left out, as a server reads it once for all of them. The work of a token
is two operations for every weight that it passes (Kaplan et al. 2020, arXiv 2001.08361, table 1);
attention, memory and all waiting come on top and are left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pretune.bases import Base
from pretune.spec.goals import Goal
from pretune.spec.quantities import percentile_of
from pretune.training.estimate.speed import Speed

_WAYS = "take a smaller base, a shorter prompt, or another device"


@dataclass(frozen=True, slots=True)
class Floor:
    """``milliseconds`` that no request at the goal's percentile can be under; ``busy`` is the share
    of the machine that the goal's load takes, ``None`` without a load."""

    goal: Goal
    milliseconds: float
    busy: float | None

    @property
    def possible(self) -> bool:
        """Whether the goal is not ruled out. That it can be met is for the measurement to say."""
        if self.busy is not None and self.busy >= 1:
            return False
        return self.goal.rises or self.goal.holds(self.milliseconds)

    @property
    def reason(self) -> str:
        """In a sentence."""
        if self.busy is not None and self.busy >= 1:
            return (
                f"{self.goal.load:g} requests a second take {self.busy:.1f} times the products "
                "that this machine can do; more machines, a smaller base, or a lower load"
            )
        where = "under" if self.possible else "above"
        text = f"the products alone take {self.milliseconds:.3g} ms, {where} the goal"
        if self.busy is not None:
            text += f"; the load takes {self.busy:.0%} of the machine's products"
        return text if self.possible else f"{text}; {_WAYS}"


def floor_of(
    goal: Goal, base: Base, speed: Speed, prompts: Sequence[int], answers: Sequence[int]
) -> Floor:
    """The floor of a latency ``goal`` for requests of these numbers of tokens.

    Args:
        prompts: tokens of each row's prompt that a server has to read for it, see :func:`unshared`.
        answers: tokens of each row's answer, in the same order.
    """
    percentile = percentile_of(goal.metric) or 50.0
    whole = goal.metric.endswith("_latency_ms")
    # The first token comes with the prompt's last; each further one is a pass of its own.
    tokens = sorted(p + (a - 1 if whole else 0) for p, a in zip(prompts, answers, strict=True))
    place = min(len(tokens) - 1, math.ceil(percentile / 100 * len(tokens)) - 1)
    seconds = 2 * _passed(base) / speed.flops
    every = sum(p + a - 1 for p, a in zip(prompts, answers, strict=True)) / len(tokens)
    busy = None if goal.load is None else goal.load * every * seconds
    return Floor(goal, tokens[max(0, place)] * seconds * 1000, busy)


def unshared(prompts: Sequence[tuple[int, ...]]) -> list[int]:
    """How many tokens each of ``prompts`` has behind all that another one begins with: the rest may
    lie in a server's cache. The last token is read in any case."""
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    shared = [0] * len(prompts)
    for one, other in pairwise(order):  # the prompt that begins most alike stands beside each
        alike = _alike(prompts[one], prompts[other])
        shared[one], shared[other] = max(shared[one], alike), alike
    return [max(1, len(ids) - alike) for ids, alike in zip(prompts, shared, strict=True)]


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Tokens that both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _passed(base: Base) -> int:
    """Weights that every token passes: the linear layers of the blocks. The head is not among
    them, as it runs on the last token of a prompt only."""
    return sum(site.width_in * site.width_out for site in base.anatomy.linears)
