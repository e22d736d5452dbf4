"""The study: which points were asked for and how they fared, kept by Optuna in a journal file.

The journal is JSON lines. A trial that a kill left running is taken up again, and every trial draws
from a seed of its own, so that a search in parts chooses what one in a piece would have chosen.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pretune.core.errors import MissingExtra, StorageError
from pretune.core.files import storage_errors
from pretune.search.point import Point
from pretune.search.space import Choose, Space

if TYPE_CHECKING:
    import optuna

FILE_NAME = "journal.jsonl"

REDUCTION = 3
"""One in so many goes on at each halving (Li et al. 2018, arXiv 1810.05934, take 4)."""

_NAME = "tune"

_HOPELESS = "hopeless"


def need_optuna() -> None:
    """Raise MissingExtra where Optuna is not installed; keep it from printing where it is."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("optuna", "tune", "a search") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """The trials of one search. Processes may share a folder; each opens its own study.

    Raises:
        StorageError: the journal is damaged; or, at any call, it cannot be written.
    """

    def __init__(self, folder: Path, *, higher_is_better: bool, seed: int) -> None:
        need_optuna()
        import optuna

        path = folder / FILE_NAME
        self._seed = seed
        journal: Any = _Journal(path)
        try:
            self._study = optuna.create_study(
                storage=optuna.storages.JournalStorage(journal),
                study_name=_NAME,
                direction="maximize" if higher_is_better else "minimize",
                pruner=optuna.pruners.SuccessiveHalvingPruner(
                    min_resource=1, reduction_factor=REDUCTION
                ),
                load_if_exists=True,
            )
        except (ValueError, KeyError) as error:
            raise StorageError(
                f'the journal "{path}" is damaged ({type(error).__name__}); move the folder away '
                "and search anew"
            ) from error

    @property
    def begun(self) -> int:
        """Trials so far, running ones and refused ones included."""
        return sum(one.state.name != "WAITING" for one in self._study.get_trials(deepcopy=False))

    def queue(self, space: Space, points: Sequence[tuple[Point, str]]) -> None:
        """Try ``points`` first, each with the reason for it; none is queued twice."""
        for point, why in points:
            values = space.values_of(point)
            if values is not None:
                self._study.enqueue_trial(values, user_attrs={"why": why}, skip_if_exists=True)

    def running(self) -> list[int]:
        """Numbers of trials that were begun and not told of."""
        trials = self._study.get_trials(deepcopy=False)
        return [one.number for one in trials if one.state.name == "RUNNING"]

    def ask(self) -> "Asked":
        """A new trial."""
        return Asked(self._study, self._study.ask(), self._seed)

    def take_up(self, number: int) -> "Asked":
        """A running trial of an earlier process."""
        import optuna

        found = self._study.get_trials(deepcopy=False)[number]
        return Asked(self._study, optuna.trial.Trial(self._study, found._trial_id), self._seed)


class Asked:
    """One trial, until it is told of."""

    def __init__(self, study: "optuna.Study", trial: "optuna.Trial", seed: int) -> None:
        self._study = study
        self._trial = trial
        self._seed = seed + trial.number

    @property
    def number(self) -> int:
        """From 0, in the order of asking."""
        return self._trial.number

    @property
    def why(self) -> str:
        """Why this point is tried."""
        return str(self._trial.user_attrs.get("why", "chosen by the search"))

    def point(self, space: Space) -> Point:
        """Its point, drawn at the first call and kept."""
        import optuna

        self._study.sampler = optuna.samplers.TPESampler(seed=self._seed)
        return space.draw(Choose(self._one_of, self._factor))

    def _one_of(self, name: str, options: Sequence[Any]) -> Any:
        return self._trial.suggest_categorical(name, options)

    def _factor(self, name: str, low: float, high: float) -> float:
        return self._trial.suggest_float(name, low, high, log=True)

    def hopeless(self, values: Sequence[float]) -> bool:
        """Whether successive halving leaves this trial behind, after these measurements."""
        known = self._study.get_trials(deepcopy=False)[self.number].intermediate_values
        for place, value in enumerate(values, 1):
            if place not in known:
                self._trial.report(value, place)
        # Halving answers once for each measurement, and a kill may ask again.
        if _HOPELESS not in self._trial.user_attrs and self._trial.should_prune():
            self._trial.set_user_attr(_HOPELESS, True)
        return _HOPELESS in self._trial.user_attrs

    def finished(self, value: float) -> None:
        """Tell its value."""
        self._tell("COMPLETE", value)

    def left(self) -> None:
        """Tell that it was refused, stopped early or failed: what led there is to be avoided."""
        self._tell("PRUNED", None)

    def _tell(self, state: str, value: float | None) -> None:
        import optuna

        self._study.tell(self._trial, value, optuna.trial.TrialState[state])


class _Journal:
    """Optuna's journal file. What the system refuses, at whichever call, is said as everywhere."""

    def __init__(self, path: Path) -> None:
        from optuna.storages.journal import JournalFileBackend

        self._path = path
        with storage_errors("write", path):
            self._file = JournalFileBackend(str(path), _FreedByDeath(path))  # type: ignore[arg-type]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Its lines from that one on."""
        with storage_errors("read", self._path):
            yield from self._file.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines."""
        with storage_errors("write", self._path):
            self._file.append_logs(logs)


class _FreedByDeath:
    """A lock of the journal that no killed process leaves behind; Optuna's own are files."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        self._path = path

    def acquire(self) -> bool:
        """Wait for it; then end the line that a kill may have cut short."""
        self._lock.acquire()
        _cut_torn_line(self._path)
        return True

    def release(self) -> None:
        """Let others write."""
        self._lock.release()


def _cut_torn_line(path: Path) -> None:
    """Remove what follows the last whole line: nobody was told that it was written."""
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        if not size:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Ask in this block alone, so that no two processes count the same trials."""
    lock = FileLock(folder / ".asking.lock")
    with storage_errors("lock", folder):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
