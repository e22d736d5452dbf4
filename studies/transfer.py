"""Does it help to begin with another task's adapter? Each demo task, begun with each other one.

    python studies/transfer.py --out runs/transfer [--rows 100 800] [--ends 5] [--seed 0]

Six tasks are trained on all of their rows; then each is trained on a few of its rows, from the
method's own start, from the adapter of each other task, and from its own of all rows, which stands
for a task as similar as can be: the same rows, order, steps and rate. Both answer the same test
rows. Printed are the paired differences beside the similarity of the two tasks as ``pretune tune``
measures it (the share of the base's loss on 64 training rows that the adapter takes away) and, to
compare, the cosine of their token counts; and the rank correlation of each with the gain. Finished
trainings are kept in the folder and not trained again.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter, save_adapter
from pretune.adapters.tunable import tuning
from pretune.api.transfer import ROWS, loss_on, similarity
from pretune.api.workbench import Workbench, sample, start_text
from pretune.core.records import TokenExample
from pretune.data.dataset import TaskData, prepare
from pretune.evaluation.compare import compare
from pretune.evaluation.evaluate import Evaluation, load_evaluation, save_evaluation
from pretune.spec.task import TaskSpec, load_task
from pretune.training.history import StopReason
from pretune.training.loop import Start, train

EPOCHS = {True: 2, False: 5}
"""Of all rows, and of few."""


def main() -> None:
    """Train, compare, print."""
    options = _options()
    folder = Path(str(files("pretune.cli").joinpath("demo_tasks")))
    tasks = {
        path.stem: load_task(path)
        for path in sorted(folder.glob("*.yaml"))
        if options.tasks is None or path.stem in options.tasks
    }
    workbench = Workbench.open(next(iter(tasks.values())).base)
    data = {name: prepare(task, workbench.base.renderer) for name, task in tasks.items()}
    sources = {
        name: _trained(workbench, task, data[name].train, None, options.out / "source" / name, 0)
        for name, task in tasks.items()
    }
    for count in options.rows:
        print(f"\n{count} rows, seed {options.seed}\n", flush=True)
        print("| task | begun with | similarity | cosine | from nothing | begun | difference | p |")
        print("| --- | --- | ---: | ---: | ---: | ---: | --- | ---: |")
        lines = [
            line
            for name in tasks
            for line in _compared(workbench, tasks, data, sources, name, count, options)
        ]
        for kind, place in (("similarity", 0), ("cosine", 1)):
            found = spearmanr([line[place] for line in lines], [line[2] for line in lines])
            print(f"\nrank correlation of {kind} and gain: {found.statistic:.2f}", end="")
        better = sum(line[3] == "better" for line in lines)
        worse = sum(line[3] == "worse" for line in lines)
        print(f"\nbetter {better}, worse {worse}, undecided {len(lines) - better - worse}")


def _compared(
    workbench: Workbench,
    tasks: dict[str, TaskSpec],
    data: dict[str, TaskData],
    sources: dict[str, Adapter],
    name: str,
    count: int,
    options: argparse.Namespace,
) -> list[tuple[float, float, float, str]]:
    task, rows = tasks[name], sample(data[name].train, count)
    metric = task.metrics[0]
    probe = sample(data[name].train, ROWS)
    bare, found = loss_on(workbench, probe, None), []
    place = options.out / f"{count}.{options.seed}" / name
    fresh = _measured(workbench, task, data[name], rows, None, place / "nothing", options.seed)
    alikes = {
        other: similarity(workbench, probe, adapter, bare) for other, adapter in sources.items()
    }
    others = sorted(set(alikes) - {name}, key=alikes.__getitem__, reverse=True)
    for other in dict.fromkeys([name, *others[: options.ends], *others[-options.ends :]]):
        adapter, alike = sources[other], alikes[other]
        begun = _measured(workbench, task, data[name], rows, adapter, place / other, options.seed)
        (one,) = compare(fresh.predictions, begun.predictions, [metric])
        cosine = _cosine(data[name].train, data[other].train)
        delta = one.delta
        print(
            f"| {name} | {other} | {alike:.2f} | {cosine:.2f} | {one.first:.3f} | {one.second:.3f} "
            f"| {delta.value:+.3f} ({delta.low:+.3f} to {delta.high:+.3f}) | {one.p:.3f} |",
            flush=True,
        )
        found.append((alike, cosine, delta.value, str(one.verdict)))
    return found


def _measured(
    workbench: Workbench,
    task: TaskSpec,
    data: TaskData,
    rows: Sequence[TokenExample],
    begin: Adapter | None,
    folder: Path,
    seed: int,
) -> Evaluation:
    if not (folder / "evaluation.json").exists():
        adapter = _trained(workbench, task, rows, begin, folder, seed)
        save_evaluation(workbench.evaluate(task, data.test, adapter), folder)
    return load_evaluation(folder)


def _trained(
    workbench: Workbench,
    task: TaskSpec,
    rows: Sequence[TokenExample],
    begin: Adapter | None,
    folder: Path,
    seed: int,
) -> Adapter:
    """After the last step: a choice of the best one would favour neither side, and cost time."""
    if (folder / "adapter").exists():
        return load_adapter(next((folder / "adapter").iterdir()))
    epochs = EPOCHS[len(rows) >= 400]
    spec = task.train.model_copy(update={"epochs": epochs, "seed": seed})
    with tuning(
        workbench.injection, task.method, task.scope, text=start_text(task), seed=seed
    ) as tunable:
        if begin is not None:
            tunable.begin_with(begin)
        result = train(tunable, rows, spec, folder / "training", start=Start.RESUME)
    if result.reason is StopReason.INTERRUPTED:
        raise KeyboardInterrupt  # the same command goes on with it
    save_adapter(result.adapter, folder / "adapter")
    return result.adapter


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 800])
    parser.add_argument("--tasks", nargs="+", help="of the demo's; default: all six")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--ends", type=int, default=5, help="so many of the most and of the least similar tasks"
    )
    options = parser.parse_args()
    (options.out).mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
