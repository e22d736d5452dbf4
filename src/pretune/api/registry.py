"""Finished runs into a registry, with all that tells where a version comes from."""

from pathlib import Path

from pretune.adapters.manifest import check_files
from pretune.api.runs import RunFolder
from pretune.core.errors import SpecError
from pretune.core.promise import Promise
from pretune.evaluation.evaluate import RECORD_FILE, load_evaluation
from pretune.evaluation.intervals import Interval
from pretune.registry import Registry, TaskState, Version
from pretune.registry.author import Author, now
from pretune.spec.base import EMBEDDED
from pretune.spec.dump import task_value
from pretune.spec.task import TaskSpec, load_task


def version_of(run: Path | str, task: TaskSpec | None = None) -> Version:
    """The version that a run's folder holds: its adapter, its spec, and what was measured.

    ``task`` takes the place of the task as it was trained, with other goals, say; what was measured
    under another spec is then left out.

    Raises:
        SpecError: ``task`` has another name than the run's.
        StorageError: no finished run there.
        AdapterError: its adapter is damaged.
    """
    folder = RunFolder(Path(run))
    record = folder.read_record()
    manifest = check_files(folder.adapter())
    notes = manifest["notes"]
    trained = anywhere(load_task(folder.task))
    spec = trained if task is None else anywhere(task)
    if spec.name != trained.name:
        raise SpecError(f'"{run}" is a run of task "{trained.name}", not "{spec.name}"')
    same = spec.digest() == trained.digest()
    return Version(
        task=spec.name,
        spec=task_value(spec),
        adapter=manifest["digest"],
        base=manifest["identity"]["base"],
        data=notes.get("data"),
        trained_spec=notes.get("spec"),
        privacy=Promise.of(notes),
        metrics=_measured(folder, manifest["digest"]) if same else {},
        validation=record.get("validation", {}),
        run=str(Path(run).resolve()),
        created=now(),
    )


def register(
    run: Path | str, root: Path | str, why: str = "", *, task: TaskSpec | None = None
) -> tuple[Version, TaskState]:
    """Add a run to the registry in ``root``, which is made if it is new; ``task`` as for
    :func:`version_of`.

    Raises:
        SpecError: ``task`` has another name than the run's.
        StorageError: no finished run there.
        AdapterError: its adapter is damaged.
        BusyError: ``root`` holds other work.
    """
    version = version_of(run, task)
    registry = Registry.create(root)
    return version, registry.add(version, RunFolder(Path(run)).adapter(), Author.of_process(why))


def _measured(run: RunFolder, adapter: str) -> dict[str, Interval]:
    """Metrics on the test rows, where they are of this adapter."""
    if not (run.evaluation / RECORD_FILE).is_file():
        return {}
    found = load_evaluation(run.evaluation)
    return found.metrics if found.adapter == adapter else {}


def anywhere(spec: TaskSpec) -> TaskSpec:
    """``spec`` with a base that is found from any working folder."""
    folder = Path(spec.base.name)
    if spec.base.name == EMBEDDED or not folder.is_dir():
        return spec
    base = spec.base.model_copy(update={"name": str(folder.resolve())})
    return spec.model_copy(update={"base": base})
