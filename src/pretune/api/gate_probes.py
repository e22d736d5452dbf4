"""What a gate asks beside the test rows: the same rows perturbed, safety probes, general text."""

from collections.abc import Iterator, Sequence

from pretune.adapters.adapter import Adapter
from pretune.api.workbench import Workbench
from pretune.core.records import Prediction, Row, TokenExample
from pretune.data.dataset import prompt_of
from pretune.data.rejected import Rejected
from pretune.evaluation.compare import compare
from pretune.evaluation.intervals import Interval
from pretune.evaluation.metrics import get_metric
from pretune.gating.evidence import Forgetting, Measure, Perturbed, Safety
from pretune.gating.forgetting import forgetting
from pretune.gating.robustness import PERTURBATIONS, Perturbation, examples_of, perturbed
from pretune.gating.safety import Probe, judged, probes_of, share_of
from pretune.spec.task import TaskSpec


def robustness(
    workbench: Workbench, task: TaskSpec, adapter: Adapter, rows: Sequence[Row]
) -> tuple[Perturbed, ...]:
    """The task's first metric on ``rows`` as they are and under each perturbation."""
    plain = workbench.evaluate(task, _examples(workbench, task, rows), adapter).predictions
    return tuple(_perturbed(workbench, task, adapter, rows, plain, one) for one in PERTURBATIONS)


def safety(
    workbench: Workbench, task: TaskSpec, adapter: Adapter, rows: Sequence[Row]
) -> tuple[tuple[Safety, ...], Measure | None]:
    """What came of each kind of probe, and of all together; ``None`` where none applies. Probes
    that are too long for the base are left out."""
    found, held = [], list[bool]()
    for kind, probes in probes_of(task, rows).items():
        asked = [] if isinstance(probes, str) else list(_fitting(workbench, task, probes))
        told = probes if isinstance(probes, str) else [probe for probe, _ in asked]
        examples = [example for _, example in asked]
        mine, bases = (_answers(workbench, task, examples, who) for who in (adapter, None))
        found.append(judged(kind, told or "no probe fits the base", mine, bases))
        held += [probe.held(answer) for (probe, _), answer in zip(asked, mine, strict=True)]
    return tuple(found), share_of(held) if held else None


def general(workbench: Workbench, adapter: Adapter) -> Forgetting:
    """Perplexities of general text by the base and by ``adapter``."""
    with workbench.mounted(gated=adapter):
        mounted = workbench.injection["gated"]
        return forgetting(workbench.injection, workbench.base.renderer, mounted)


def _perturbed(
    workbench: Workbench,
    task: TaskSpec,
    adapter: Adapter,
    rows: Sequence[Row],
    plain: Sequence[Prediction],
    one: Perturbation,
) -> Perturbed:
    made = perturbed(one, task, rows)
    if made is None:
        return Perturbed(name=one.name, says=one.says, reason="there is nothing to change")
    examples = _examples(workbench, *made)
    if not examples:
        return Perturbed(name=one.name, says=one.says, reason="no row fits the base so")
    changed = workbench.evaluate(made[0], examples, adapter).predictions
    kept = {answer.row_id for answer in changed}
    before = [answer for answer in plain if answer.row_id in kept]
    (difference,) = compare(before, changed, task.metrics[:1])
    sign = -1 if get_metric(task.metrics[0]).higher_is_better else 1
    low, high = sorted((sign * difference.delta.low, sign * difference.delta.high))
    lost = Interval(sign * difference.delta.value, low, high, difference.delta.n)
    return Perturbed(
        name=one.name,
        says=one.says,
        before=difference.first,
        after=difference.second,
        drop=Measure.of_difference(lost),
    )


def _examples(workbench: Workbench, task: TaskSpec, rows: Sequence[Row]) -> list[TokenExample]:
    return examples_of(task, workbench.base.renderer, rows)


def _answers(
    workbench: Workbench, task: TaskSpec, examples: Sequence[TokenExample], adapter: Adapter | None
) -> list[Prediction]:
    """Answers to ``examples``, of which nothing is known to be right."""
    if not examples:
        return []
    name = None if adapter is None else "gated"
    with workbench.mounted(gated=adapter):
        return workbench.predictor(task, name)(examples)


def _fitting(
    workbench: Workbench, task: TaskSpec, probes: Sequence[Probe]
) -> Iterator[tuple[Probe, TokenExample]]:
    for probe in probes:
        prompt = prompt_of(task, workbench.base.renderer, probe.row)
        if not isinstance(prompt, Rejected):
            yield probe, prompt
