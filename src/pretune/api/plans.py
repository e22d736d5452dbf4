"""A plan of a task: can its goals be decided, what will training take, what is advised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pretune.api.workbench import Progress, Workbench
from pretune.bases import Base, load_renderer
from pretune.bases.room import room_on
from pretune.core.records import TokenExample, total_tokens
from pretune.data.dataset import TaskData, option_ids, prepare
from pretune.data.slices import Slices, slices_of
from pretune.evaluation.intervals import Interval
from pretune.evaluation.slices import check_goal_names, goal_results
from pretune.planning.adviser import Situation, advise
from pretune.planning.decide import MARGIN, decidable
from pretune.planning.evidence import Figure, own_runs, shipped_evidence
from pretune.planning.floor import floor_of, unshared
from pretune.planning.plan import Fit, GoalPlan, Plan, Prospect, Resources
from pretune.planning.quantities import cannot_be_probed, prospect_of
from pretune.planning.work import course_of, work_of
from pretune.spec.goals import Goal
from pretune.spec.methods import METHODS
from pretune.spec.quantities import percentile_of
from pretune.spec.task import TaskSpec
from pretune.spec.training import TrainSpec
from pretune.training.estimate.calibrate import Calibration
from pretune.training.estimate.dry_run import Measured, dry_run
from pretune.training.estimate.estimate import Course, Estimate, Estimator, replaced
from pretune.training.estimate.knobs import way_out
from pretune.training.estimate.records import (
    Record,
    cache_folder,
    keep_record,
    own_records,
    shipped_records,
)
from pretune.training.estimate.speed import Speed, speed_of
from pretune.training.estimate.work import Work
from pretune.training.plan import batch_size
from pretune.training.precision import autocasts

IDLE = 450_000_000
"""Bytes that the libraries hold on a processor, where no dry run has measured it."""

KEPT_FREE = 0.95
"""Share of the free memory that a training may take."""


@dataclass(frozen=True)
class PlanOptions:
    """What a plan is to look at.

    ``memory`` (bytes) is planned with in the place of what is free here. ``tasks``: how many are to
    be served from this base. ``reachable``: whether the base's weights can be read. ``runs``: a
    folder of past runs. ``cache``: where dry runs are kept, the user's cache folder by default.
    ``margin``: distance from a threshold that rows should decide.
    """

    measure_base: bool = True
    dry_run: bool = True
    memory: int | None = None
    devices: int = 1
    tasks: int = 1
    reachable: bool = True
    runs: Path | None = None
    cache: Path = field(default_factory=cache_folder)
    margin: float = MARGIN
    device: str = "cuda" if torch.cuda.is_available() else "cpu"


def plan(
    task: TaskSpec, options: PlanOptions | None = None, *, progress: Progress | None = None
) -> Plan:
    """Look at ``task``, its goals and its rows; try its training for two steps; advise.

    Raises:
        UnknownName: a goal on a metric that nobody knows, or on a column that no row has.
        SpecError: goals that cannot be met by any value, or about no rows.
        DataError: nothing to learn from.
        TrainingError: the dry run failed for another reason than memory.
    """
    options = options or PlanOptions()
    check_goal_names(task.goals)
    base = task.base
    renderer = load_renderer(base.name, allow_download=base.allow_download, revision=base.revision)
    data = prepare(task, renderer)
    slices = slices_of(task)
    split = "test" if data.test else "validation"
    rows: Sequence[TokenExample] = data.test or data.validation
    answers = [] if task.labels is None else [len(ids) for ids in option_ids(task, renderer)]
    work = work_of(task, data.train, data.validation, answers, options.devices)
    course = course_of(task, data.train, data.validation)
    device = torch.device(options.device)
    speeds = {bf16: speed_of(device, bf16=bf16) for bf16 in (False, True)}
    calibration = Calibration.of(shipped_records(), own_records(options.cache), options.device)
    estimator = Estimator(calibration, speeds, options.device)
    resources = _resources(task, estimator, work, course, data, options)
    reached = _base_results(task, rows, slices, progress) if options.measure_base else {}
    blank = estimator.base(work.base)
    fastest = fastest_of(speeds, options.device, options.cache)
    goals = [
        goal_plan(goal, task, rows, slices, reached, resources, blank, fastest, options.margin)
        for goal in task.goals
    ]
    return Plan(
        task.name,
        split,
        {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
        tuple(goals),
        resources,
        advise(situation_of(task, data, resources, blank, device, options), _figures(options)),
    )


def fastest_of(speeds: Mapping[bool, Speed], device: str, cache: Path) -> Speed:
    """The best speed ever seen here, in any precision: a machine that is busy now must not make a
    goal look impossible."""
    kind = device.partition(":")[0]
    seen = [
        Speed(one.measured.speed, one.measured.bandwidth)
        for one in own_records(cache)
        if one.measured.device.partition(":")[0] == kind
    ]
    return max((*speeds.values(), *seen), key=lambda speed: speed.flops)


def _figures(options: PlanOptions) -> tuple[Figure, ...]:
    own = () if options.runs is None else own_runs(options.runs)
    return (*shipped_evidence(), *own)


def _resources(
    task: TaskSpec,
    estimator: Estimator,
    work: Work,
    course: Course,
    data: TaskData,
    options: PlanOptions,
) -> Resources:
    reckoned = estimator.estimate(work, course)
    free = options.memory or room_on(estimator.device)
    on_cpu = estimator.device.type == "cpu"
    measured: Measured | None = None
    # Processes of one machine share a processor's memory; devices have their own.
    share = (free or 0) / (options.devices if on_cpu else 1) * KEPT_FREE
    if options.dry_run:
        limit = round(share) if on_cpu and free else None
        measured = dry_run(work, device=options.device, limit=limit)
        name = ", ".join([task.method.name, str(task.scope), f"{work.batch} rows"])
        if measured.fits:
            keep_record(Record.of(name, estimator.reckon(work), measured), options.cache)
    idle = measured.idle if measured is not None and measured.idle else IDLE
    idle = idle if on_cpu else 0
    room = share - idle if free else float("inf")
    estimate = reckoned if measured is None else replaced(reckoned, work, course, measured)
    found = Resources(
        reckoned, measured, estimate, room, idle, options.device, options.devices, None
    )
    if found.fit is Fit.FITS:
        return found
    lengths = [len(row) for row in data.train]
    if measured is not None:  # its neighbours are off as this training is
        estimator = estimator.off_by(*_off(reckoned, measured))
    way = way_out(estimator, work, course, lengths, room)
    return Resources(reckoned, measured, estimate, room, idle, options.device, options.devices, way)


def _off(reckoned: Estimate, measured: Measured) -> tuple[float, float]:
    """How many times the estimate was measured, of memory and of a step's time; one that ended at
    its limit would have taken more memory yet, and had no step."""
    memory = measured.peak / reckoned.memory.expected
    if not measured.fits:
        return max(1.0, memory), 1.0
    return memory, measured.step_seconds / reckoned.step.expected


def _base_results(
    task: TaskSpec, rows: Sequence[TokenExample], slices: Slices, progress: Progress | None
) -> Mapping[str, Interval]:
    found = Workbench.open(task.base).evaluate(task, rows, None, progress)
    return goal_results(found, task.goals, slices)


def goal_plan(
    goal: Goal,
    task: TaskSpec,
    rows: Sequence[TokenExample],
    slices: Slices,
    reached: Mapping[str, Interval],
    resources: Resources,
    base: Base,
    fastest: Speed,
    margin: float,
) -> GoalPlan:
    """What can be said of ``goal`` before training; ``reached`` is what the bare base was measured
    to reach, ``base`` the base without its numbers."""
    if goal.quantity is None:
        members = slices.rows(goal)
        count = sum(members is None or row.row_id in members for row in rows)
        known = reached.get(goal.measure)
        found = decidable(goal, count, known, margin=margin)
        enough = found.passes_at is not None and not found.missing
        prospect = Prospect.DECIDABLE if enough else Prospect.TOO_FEW_ROWS
        if found.needed is None:
            prospect = Prospect.IMPOSSIBLE
        return GoalPlan(goal, prospect, found.reason, found, known)
    if goal.quantity.of_answers:
        if reason := cannot_be_probed(goal, task):
            return GoalPlan(goal, Prospect.IMPOSSIBLE, reason)
        return GoalPlan(goal, Prospect.GATED, "pretune gate measures it of the trained adapter")
    if percentile_of(goal.metric) is not None or goal.quantity.priced:
        prompts = [tuple(i for segment in row.prompt for i in segment.ids) for row in rows]
        answers = [max(1, len(row) - total_tokens(row.prompt)) for row in rows]
        floor = floor_of(goal, base, fastest, unshared(prompts), answers)
        prospect = Prospect.LATER if floor.possible else Prospect.IMPOSSIBLE
        return GoalPlan(goal, prospect, floor.reason)
    return prospect_of(goal, resources, base, task.method)


def situation_of(
    task: TaskSpec,
    data: TaskData,
    resources: Resources,
    base: Base,
    device: torch.device,
    options: PlanOptions,
) -> Situation:
    """What advice for ``task`` depends on."""
    fits = set(METHODS)
    if resources.fit is Fit.TOO_LARGE:
        # Of the others only LoRA is known to take less than full tuning: it stays to be advised.
        fits -= {"full", task.method.name} - {"lora"}
    return Situation(
        task=task.kind.value,
        name=task.name,
        rows=len(data.train),
        batch=batch_size(task.method, task.train),
        width=base.anatomy.hidden,
        method=task.method,
        tasks=options.tasks,
        latency=any(percentile_of(goal.metric) is not None for goal in task.goals),
        reachable=options.reachable,
        fits=frozenset(fits),
        fast_bf16=autocasts(TrainSpec(precision="auto"), device),
    )
