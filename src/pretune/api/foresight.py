"""What can be said of a task's configurations before training: do they fit, are goals ruled out."""

from collections.abc import Sequence
from pathlib import Path

import torch

from pretune.api.plans import IDLE, KEPT_FREE, PlanOptions, fastest_of, goal_plan, situation_of
from pretune.bases.room import room_on
from pretune.core.protocols import Renderer
from pretune.data.dataset import TaskData, option_ids
from pretune.data.slices import Slices
from pretune.planning.adviser import Advice, advise
from pretune.planning.decide import MARGIN
from pretune.planning.evidence import shipped_evidence
from pretune.planning.plan import Fit, Prospect, Resources
from pretune.planning.work import course_of, work_of
from pretune.spec.methods import AnyMethod
from pretune.spec.task import TaskSpec
from pretune.training.estimate.calibrate import Calibration
from pretune.training.estimate.estimate import Estimator
from pretune.training.estimate.records import own_records, shipped_records
from pretune.training.estimate.speed import speed_of


class Foresight:
    """Reckons configurations of one task on ``data``; nothing is trained.

    Args:
        sharing: trainings at a time that share a processor's memory.
        cache: where dry runs of earlier plans are kept; they sharpen the estimates.
    """

    def __init__(
        self,
        task: TaskSpec,
        data: TaskData,
        renderer: Renderer,
        device: str,
        cache: Path,
        sharing: int = 1,
    ) -> None:
        self._task, self._data, self._cache = task, data, cache
        self._answers = [] if task.labels is None else [len(i) for i in option_ids(task, renderer)]
        speeds = {bf16: speed_of(torch.device(device), bf16=bf16) for bf16 in (False, True)}
        calibration = Calibration.of(shipped_records(), own_records(cache), device)
        self._estimator = Estimator(calibration, speeds, device)
        self._fastest = fastest_of(speeds, device, cache)
        self._known: dict[tuple[AnyMethod, str], Resources] = {}
        on_cpu = self._estimator.device.type == "cpu"
        free = room_on(self._estimator.device)
        idle = IDLE if on_cpu else 0
        share = (free or 0) / (sharing if on_cpu else 1) * KEPT_FREE
        self._room, self._idle = (share - idle if free else float("inf")), idle

    @property
    def width(self) -> int:
        """Hidden width of the base."""
        return int(self._estimator.base(self._task.base).anatomy.hidden)

    def resources(self, task: TaskSpec) -> Resources:
        """Memory and time of ``task``, a configuration of the same rows."""
        key = task.method, str(task.scope)
        if key not in self._known:
            work = work_of(task, self._data.train, self._data.validation, self._answers)
            course = course_of(task, self._data.train, self._data.validation)
            estimate = self._estimator.estimate(work, course)
            device = str(self._estimator.device)
            self._known[key] = Resources(
                estimate, None, estimate, self._room, self._idle, device, 1, None
            )
        return self._known[key]

    def refusal(self, task: TaskSpec) -> str | None:
        """Why ``task`` is not worth training, if it is not: it does not fit, or a goal on latency,
        memory, time, size or cost is ruled out."""
        resources = self.resources(task)
        if resources.fit is Fit.TOO_LARGE:
            memory = resources.estimate.memory
            return f"does not fit: {memory.gb} expected, {self._room / 1e9:.2f} GB free"
        rows = self._data.test or self._data.validation
        base = self._estimator.base(task.base)
        for goal in task.goals:
            if goal.quantity is None:
                continue
            found = goal_plan(
                goal, task, rows, Slices({}), {}, resources, base, self._fastest, MARGIN
            )
            if found.prospect is Prospect.IMPOSSIBLE:
                return f'goal "{goal}" cannot be met: {found.reason}'
        return None

    def advice(self) -> Sequence[Advice]:
        """What the adviser says of the task."""
        options = PlanOptions(device=str(self._estimator.device), cache=self._cache)
        base, device = self._estimator.base(self._task.base), self._estimator.device
        resources = self.resources(self._task)
        situation = situation_of(self._task, self._data, resources, base, device, options)
        return advise(situation, shipped_evidence())
