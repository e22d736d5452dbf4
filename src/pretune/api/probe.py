"""Do made rows help a task? Trained with and without, measured on the same rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pretune.api.augment import augment_rows
from pretune.api.claims import take_folder
from pretune.api.trials import WITHOUT, Outcome, Trial, Trials
from pretune.api.workbench import Workbench
from pretune.core.digest import SHORT, of_json
from pretune.core.errors import DataError
from pretune.core.files import folder_lock, write_atomic
from pretune.core.protocols import EventSink
from pretune.data.augment.trials import TrialRows
from pretune.data.dataset import prepare
from pretune.data.workshop.tracked import file_digests
from pretune.evaluation.effects import Effect, effect_of, effects_markdown
from pretune.spec.probing import ProbeSpec
from pretune.spec.task import TaskSpec

_PARTS = ("rows", "runs")
"""What a probe makes beside its record, and begins anew without."""

_REPORTS = ("report.json", "report.md")


@dataclass(frozen=True)
class Probed:
    """All effects, smallest number of seed rows first, and what they rest on."""

    task: str
    split: str
    held_rows: int
    seeds: tuple[int, ...]
    effects: tuple[Effect, ...]
    identity: dict[str, Any]
    report: Path

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rest = asdict(self) | {"report": str(self.report)}
        return rest | {"effects": [effect.to_dict() for effect in self.effects]}

    def notes(self) -> list[str]:
        """What the table means, in sentences."""
        seeds = "one training" if len(self.seeds) == 1 else f"{len(self.seeds)} trainings"
        alone = [
            "two trainings differ by chance as well, which no interval over rows can show: ask for "
            "--seeds 3 before you act on a verdict"
        ]
        return [
            f"measured on {self.held_rows:,} {self.split} rows, the same for all; first metric: "
            f"{self.effects[0].differences[0].metric}",
            f"{seeds} for each line and for each number of rows without variants; both sides take "
            "the same number of optimiser steps, and the parameters after the last one",
            "gains, loses: the paired 95 % interval excludes 0, p < 0.05, and no seed says the "
            "opposite; of 20 operators that do nothing, about one may still be called either",
            *(alone if len(self.seeds) == 1 else []),
        ]


def probe_augmentation(
    task: TaskSpec,
    out: Path | str,
    spec: ProbeSpec | None = None,
    *,
    overwrite: bool = False,
    sinks: Sequence[EventSink] = (),
) -> Probed:
    """Train ``task`` with the variants of each of ``spec.operators``, with the rows of each file of
    ``spec.add``, and without any, and compare.

    Both sides of a comparison see the same seed rows, initial weights and held-out rows, and take
    the same number of optimiser steps: with the same number of epochs the side with more rows would
    be trained longer, and that alone can help. There is no early stop and no choice of a best step,
    which would favour the side that is measured more often.

    All is kept in ``out``: rows with their lineage, answers, ``report.json`` and ``report.md``. The
    same call goes on after a kill; finished runs are not trained again, and operators, files,
    rows and seeds may be added. ``sinks`` are told ``probe.start``, then of each training and
    ``probe.run``.

    Raises:
        SpecError: a chat task, which no operator varies.
        DataError: fewer rows than asked for, or no operator finds anything to change.
        BusyError: ``out`` is in use, holds a probe of other rows or settings, or what is of no
            probe.
        KeyboardInterrupt: Ctrl-C in a training; the same call goes on with it.
    """
    folder, spec = Path(out), spec or ProbeSpec()
    workbench = Workbench.open(task.base)
    with folder_lock(folder, "probing"):
        data = prepare(task, workbench.base.renderer)
        identity = _identity(task, workbench, data.digest, spec)
        # Operators that ask may be added later, and with them whom they ask.
        take_folder(
            folder / "probe.json",
            "a probe",
            identity,
            parts=(*_PARTS, *_REPORTS),
            anew=_PARTS if overwrite else None,
            may_be_added=("rewriting", *_files(spec)),
        )
        rows = TrialRows(task, data, folder / "rows", spec, augment_rows)
        trials = Trials(task, workbench, rows, spec, folder / "runs", sinks)
        probed = _probed(trials, identity, folder / "report.md")
        _write_report(probed)
    return probed


def _probed(trials: Trials, identity: dict[str, Any], report: Path) -> Probed:
    """Run what is not finished, and compare."""
    task, rows, spec = trials.task, trials.rows, trials.spec
    seeds = tuple(range(spec.seed, spec.seed + spec.seeds))
    varied = _varied(task, rows, spec, seeds)
    wanted = (one for trial, stands in varied.items() for one in (_without(trial), stands))
    done = trials.run(list(dict.fromkeys(wanted)))
    effects = tuple(
        _effect(
            {one: stands for one, stands in varied.items() if one.compared == compared},
            done,
            task.metrics,
            trials.steps(compared[0]),
        )
        for compared in dict.fromkeys(one.compared for one in varied)
    )
    held = len(next(iter(done.values())).predictions)
    return Probed(task.name, rows.split, held, seeds, effects, identity, report)


def _write_report(probed: Probed) -> None:
    """Write ``report.json`` and ``report.md``."""
    text = json.dumps(probed.to_dict(), ensure_ascii=False, indent=1)
    write_atomic(probed.report.with_suffix(".json"), text + "\n")
    title = f"What made rows do to {probed.task}"
    write_atomic(probed.report, effects_markdown(title, probed.notes(), probed.effects))


def _identity(task: TaskSpec, workbench: Workbench, rows: str, spec: ProbeSpec) -> dict[str, Any]:
    """What every run of a folder has in common, by the names a user knows."""
    return {
        "task": task.digest()[:SHORT],
        "base": workbench.base.digest[:SHORT],
        "rows of the task": rows[:SHORT],
        "names": None if spec.names is None else file_digests([spec.names]),
        **(
            {"rewriting": of_json(spec.rewriting.model_dump(mode="json"))} if spec.rewriting else {}
        ),
        **_files(spec),
        **spec.shared(),
    }


def _files(spec: ProbeSpec) -> dict[str, str]:
    return {f"file {name}": one[:SHORT] for name, one in file_digests(spec.add).items()}


def _varied(
    task: TaskSpec, rows: TrialRows, spec: ProbeSpec, seeds: Sequence[int]
) -> dict[Trial, Trial]:
    """Each trial with variants, and the training that stands for it: its own, or the one without
    where nothing was varied. All rows are written: what cannot be made is known before anything is
    trained."""
    trials = [
        Trial(count, seed, operators)
        for count in rows.sizes
        for seed in seeds
        for operators in spec.changes
    ]
    found = {
        trial: trial if rows.variants(*trial) is not None else _without(trial) for trial in trials
    }
    if all(trial == _without(trial) for trial in found.values()):
        raise DataError(
            f'"{", ".join(spec.changes)}" find nothing to change in the rows of task '
            f'"{task.name}"; choose other operators with --with, or give names of your own with '
            "--names"
        )
    return found


def _without(trial: Trial) -> Trial:
    return trial._replace(operators=WITHOUT)


def _effect(
    varied: Mapping[Trial, Trial],
    done: Mapping[Trial, Outcome],
    metrics: Sequence[str],
    steps: int,
) -> Effect:
    """The effect over the seeds of ``varied``, trials of the same operators and number of rows."""
    rows, _, operators = next(iter(varied))
    pairs = [(done[_without(trial)], done[stands]) for trial, stands in varied.items()]
    return effect_of(
        rows,
        operators,
        [(before.predictions, after.predictions) for before, after in pairs],
        metrics,
        variants=[after.variants for _, after in pairs],
        steps=steps,
        seconds=sum(after.seconds for before, after in pairs if after is not before),
    )
