"""The gate: may an adapter answer? What it is held against, and where the evidence is kept."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pretune.api.gate_current import current_of
from pretune.api.gate_run import Gate, Tell
from pretune.api.registry import anywhere
from pretune.core.digest import SHORT
from pretune.core.errors import SpecError, StorageError
from pretune.core.files import write_atomic
from pretune.evaluation.slices import check_goal_names
from pretune.gating.evidence import Evidence
from pretune.gating.report.junit import render_junit
from pretune.gating.report.render import render_card, render_page
from pretune.planning.decide import MARGIN
from pretune.registry import Registry
from pretune.registry.author import Author
from pretune.spec.task import TaskSpec

EVIDENCE_FILE = "evidence.json"
CARD_FILE = "card.md"
PAGE_FILE = "gate.html"


@dataclass(frozen=True)
class GateOptions:
    """What a gate is held against.

    ``registry`` holds the version that answers today, and keeps the evidence. ``margin`` is the
    loss against it that must be ruled out. ``load_seconds``: how long each load lasts at most.
    ``why`` is a reason for the task's history.
    """

    registry: Path | None = None
    margin: float = MARGIN
    load_seconds: float = 60.0
    why: str = ""

    def __post_init__(self) -> None:
        """Raise SpecError where ``load_seconds`` is no time."""
        if not 0 < self.load_seconds < math.inf:
            raise SpecError(
                f'a load of "{self.load_seconds:g}" seconds never ends or never begins; give a '
                "number of seconds, such as 60"
            )


@dataclass(frozen=True)
class Gated:
    """What a gate found; ``version`` is the one whose history keeps it, ``None`` if none does."""

    evidence: Evidence
    version: str | None = None

    def save(self, folder: Path) -> None:
        """Write ``evidence.json``, the model card and the page to ``folder``."""
        write_atomic(folder / CARD_FILE, render_card(self.evidence))
        write_atomic(folder / PAGE_FILE, render_page(self.evidence))
        write_atomic(folder / EVIDENCE_FILE, self.evidence.file())

    def save_junit(self, path: Path) -> None:
        """Write JUnit's XML to ``path``."""
        write_atomic(path, render_junit(self.evidence))


def gate(
    task: TaskSpec,
    adapter: Path | str,
    options: GateOptions | None = None,
    *,
    tell: Tell = lambda _: None,
    keep: Callable[[Gated], None] = lambda _: None,
) -> Gated:
    """Measure all that ``task`` promises of ``adapter``, and say whether it may answer.

    ``adapter`` is an adapter's folder, a run's, or with a registry a version's digest or the
    beginning of it. A registry is changed once, at the end: the evidence is kept with the version
    that has this adapter under this spec, if there is one. ``keep`` is given what was found before
    that, so that a registry that cannot be written loses no measuring.

    Raises:
        UnknownName: a goal on what nobody measures, a column that no row has, no such version.
        SpecError: goals that cannot be met, slices without rows, a version with another spec.
        DataError: no held-out rows.
        AdapterError: the adapter is damaged or belongs to another base.
        StorageError: no registry there.
    """
    options = options or GateOptions()
    spec = anywhere(task)
    check_goal_names(spec.goals)
    registry = None if options.registry is None else Registry(options.registry)
    folder, version = _find(spec, adapter, registry)
    found = Gate(
        spec,
        folder,
        current_of(spec, registry),
        margin=options.margin,
        load_seconds=options.load_seconds,
        tell=tell,
    ).run()
    try:
        keep(Gated(found))
    finally:  # nor does a folder that cannot be written
        if registry is not None:
            version = version or registry.version_of(spec.name, found.subject)
            if version is not None:
                registry.gate(spec.name, version, found, Author.of_process(options.why))
    return Gated(found, version)


def _find(
    task: TaskSpec, adapter: Path | str, registry: Registry | None
) -> tuple[Path, str | None]:
    """The folder of ``adapter``, and the version if it was named by that."""
    if Path(adapter).is_dir():
        return Path(adapter), None
    if registry is None:
        raise StorageError(
            f'"{adapter}" is no folder; name a run, an adapter, or a version with --registry'
        )
    state = registry.task(task.name)
    name = registry.find(state, str(adapter))
    version = registry.version(name)
    if version.task_spec.digest() != task.digest():
        raise SpecError(
            f"version {name[:SHORT]} has another spec than the task file; add the run "
            "under it: pretune tasks add RUN --task TASK.yaml"
        )
    return registry.adapter_folder(version), name
