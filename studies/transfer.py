"""Does it help to begin with another task's adapter? Each task, begun with each other one.

    python studies/transfer.py --out runs/transfer [--data ../shared/data] [--rows 100 800]

Without ``--data`` the tasks are the six of the demo, else real sets. All are trained on many of
their rows; then each target on a few of its rows, from the method's own start and from the adapter
of each other task: the same rows, order, steps and rate. With ``--best-case`` from its own adapter
of many rows too, which stands for a task as similar as can be. Each seed draws rows and starting
weights of its own; both answer the same test rows. Printed are the paired differences over all
seeds beside the similarity of the two tasks as ``pretune tune`` measures it (the share of the
base's loss on 64 training rows that the adapter takes away) and, to compare, the cosine of their
token counts; and the rank correlation of each with the gain. Finished trainings are kept in the
folder and not trained again.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from random import Random

import numpy as np
from scipy.stats import spearmanr

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter, save_adapter
from pretune.adapters.tunable import tuning
from pretune.api.transfer import ROWS, loss_on, similarity
from pretune.api.workbench import Workbench, sample, start_text
from pretune.core.records import TokenExample
from pretune.data.dataset import TaskData, prepare
from pretune.evaluation.compare import Difference, compare_repeated
from pretune.evaluation.evaluate import Evaluation, load_evaluation, save_evaluation
from pretune.spec.task import TaskSpec, load_task, parse_task
from pretune.training.history import StopReason
from pretune.training.loop import Start, train

EPOCHS = {True: 2, False: 5}
"""Of many rows, and of few."""

REAL = {
    "financial_phrasebank": (
        160,
        "Is the news negative, neutral or positive for the company?",
        "{text}",
    ),
    "sst2": (160, "Is the review negative or positive?", "{text}"),
    "chnsenticorp_zh": (100, "这条评价是 positive 还是 negative？", "{text}"),
    "finfe_zh": (100, "这条股评的情绪是积极、消极还是中性？", "{text}"),
    "tnews_zh": (100, "这条新闻属于哪一类？", "{text}"),
    "snli": (
        160,
        "Does the second sentence follow from the first?",
        "{text_a}\n{text_b}",
    ),
}
"""Real sets: how long a row may be, in characters (short ones cost little on a CPU), and what is
asked of it."""

MOST = {"train": 1500, "validation": 100, "test": 400}
"""Rows of each split of a real set."""


def main() -> None:
    """Train, compare, print."""
    options = _options()
    tasks = _demo_tasks() if options.data is None else _real_tasks(options.data, options.out)
    tasks = {name: task for name, task in tasks.items() if name in (options.tasks or tasks)}
    study = Study(options.out, tasks, tuple(options.seeds), options.best_case)
    for count in options.rows:
        print(f"\n{count} rows, seeds {', '.join(map(str, options.seeds))}\n", flush=True)
        print("| task | begun with | similarity | cosine | from nothing | begun | difference | p |")
        print("| --- | --- | ---: | ---: | ---: | ---: | --- | ---: |")
        pairs = [
            pair
            for name in options.targets or tasks
            for pair in study.compared(name, count, options.ends)
        ]
        gains = [pair.difference.delta.value for pair in pairs]
        for kind in ("similarity", "cosine"):
            found = spearmanr([getattr(pair, kind) for pair in pairs], gains)
            print(f"\nrank correlation of {kind} and gain: {found.statistic:.2f}", end="")
        verdicts = Counter(str(pair.difference.verdict) for pair in pairs)
        print("\n" + ", ".join(f"{verdict} {many}" for verdict, many in verdicts.items()))


@dataclass(frozen=True)
class Pair:
    """A target begun with another task's adapter, against the method's own start."""

    similarity: float
    cosine: float
    difference: Difference


@dataclass(frozen=True)
class Study:
    """All trainings, in a folder."""

    folder: Path
    tasks: Mapping[str, TaskSpec]
    seeds: tuple[int, ...]
    best_case: bool

    @cached_property
    def workbench(self) -> Workbench:
        """The base that all begin from."""
        return Workbench.open(next(iter(self.tasks.values())).base)

    @cached_property
    def data(self) -> Mapping[str, TaskData]:
        """Rows of each task."""
        renderer = self.workbench.base.renderer
        return {name: prepare(task, renderer) for name, task in self.tasks.items()}

    @cached_property
    def sources(self) -> Mapping[str, Adapter]:
        """An adapter of each task, of all its rows."""
        return {
            name: self._trained(name, self.data[name].train, None, self.folder / "source" / name, 0)
            for name in self.tasks
        }

    def compared(self, name: str, count: int, ends: int) -> list[Pair]:
        """``name`` on ``count`` rows, begun with its ``ends`` most and least similar tasks; prints
        a line for each."""
        probe, found = sample(self.data[name].train, ROWS), []
        bare = loss_on(self.workbench, probe, None)
        alike = {
            other: similarity(self.workbench, probe, adapter, bare)
            for other, adapter in self.sources.items()
        }
        others = sorted(set(alike) - {name}, key=alike.__getitem__, reverse=True)
        own = [name] if self.best_case else []
        for other in dict.fromkeys([*own, *others[:ends], *others[-ends:]]):
            runs = [
                (
                    self._measured(name, count, seed, None).predictions,
                    self._measured(name, count, seed, other).predictions,
                )
                for seed in self.seeds
            ]
            (one,) = compare_repeated(runs, self.tasks[name].metrics[:1])
            cosine, delta = _cosine(self.data[name].train, self.data[other].train), one.delta
            print(
                f"| {name} | {other} | {alike[other]:.2f} | {cosine:.2f} | {one.first:.3f} "
                f"| {one.second:.3f} | {delta.value:+.3f} ({delta.low:+.3f} to {delta.high:+.3f}) "
                f"| {one.p:.3f} |",
                flush=True,
            )
            found.append(Pair(alike[other], cosine, one))
        return found

    def _measured(self, name: str, count: int, seed: int, begin: str | None) -> Evaluation:
        """The test rows' answers after a training on ``count`` rows that ``seed`` draws."""
        folder = self.folder / f"{count}.{seed}" / name / (begin or "nothing")
        if not (folder / "evaluation.json").exists():
            rows = Random(seed).sample(list(self.data[name].train), count)
            adapter = self._trained(name, rows, begin, folder, seed)
            found = self.workbench.evaluate(self.tasks[name], self.data[name].test, adapter)
            save_evaluation(found, folder)
        return load_evaluation(folder)

    def _trained(
        self, name: str, rows: Sequence[TokenExample], begin: str | None, folder: Path, seed: int
    ) -> Adapter:
        """After the last step: a choice of the best one would favour neither side, and cost
        time."""
        if (folder / "adapter").exists():
            return load_adapter(next((folder / "adapter").iterdir()))
        task = self.tasks[name]
        spec = task.train.model_copy(update={"epochs": EPOCHS[len(rows) >= 400], "seed": seed})
        injection, text = self.workbench.injection, start_text(task)
        with tuning(injection, task.method, task.scope, text=text, seed=seed) as tunable:
            if begin is not None:
                tunable.begin_with(self.sources[begin])
            result = train(tunable, rows, spec, folder / "training", start=Start.RESUME)
        if result.reason is StopReason.INTERRUPTED:
            raise KeyboardInterrupt  # the same command goes on with it
        save_adapter(result.adapter, folder / "adapter")
        return result.adapter


def _demo_tasks() -> dict[str, TaskSpec]:
    folder = Path(str(files("pretune.cli").joinpath("demo_tasks")))
    return {path.stem: load_task(path) for path in sorted(folder.glob("*.yaml"))}


def _real_tasks(data: Path, out: Path) -> dict[str, TaskSpec]:
    """A task of each real set, on the first of its short rows; they are written to ``out``."""
    return {name: _real_task(name, data, out / "rows" / name) for name in REAL}


def _real_task(name: str, data: Path, folder: Path) -> TaskSpec:
    longest, asked, user = REAL[name]
    folder.mkdir(parents=True, exist_ok=True)
    for split, most in MOST.items():
        lines = (data / name / f"{split}.jsonl").read_text("utf-8").split("\n")
        rows = (json.loads(line) for line in lines if line)
        short = [row for row in rows if len(user.format(**row)) <= longest]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in short[:most])
        (folder / f"{split}.jsonl").write_text(text, "utf-8")
    return parse_task(
        {
            "name": name,
            "data": {split: f"{split}.jsonl" for split in MOST},
            "template": {"system": asked, "user": user, "target": "{label}"},
            "labels": json.loads((data / name / "task.json").read_text("utf-8"))["labels"],
            "metrics": ["macro_f1", "accuracy"],
        },
        folder=folder,
    )


def _cosine(first: Sequence[TokenExample], second: Sequence[TokenExample]) -> float:
    """Of the token counts of two sets of rows."""
    counts = [
        Counter(i for row in rows for segment in row.segments for i in segment.ids)
        for rows in (first, second)
    ]
    known = sorted(counts[0] | counts[1])
    a, b = (np.array([one[i] for i in known], float) for one in counts)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="real sets; default: the demo's tasks")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 800])
    parser.add_argument("--tasks", nargs="+", help="of these alone; default: all")
    parser.add_argument("--targets", nargs="+", help="of them, those begun anew; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--ends", type=int, default=5, help="so many of the most and of the least similar tasks"
    )
    parser.add_argument("--best-case", action="store_true", help="begin with the own adapter too")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
