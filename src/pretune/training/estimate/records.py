"""Records of trainings that were both reckoned and measured, shipped ones and the user's own."""

import os
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pretune.core.errors import StorageError
from pretune.core.files import folder_lock, write_atomic
from pretune.training.estimate.dry_run import Measured
from pretune.training.estimate.reckon import Reckoned

HISTORY = "dry-runs.jsonl"
"""The user's own records, in the cache folder."""

SHIPPED = "measured.jsonl"
"""Those of ``studies/estimate_error.py``, beside this file."""

_WAIT = 10.0
"""Seconds to wait for another process that writes."""


class Record(BaseModel):
    """One training: what was reckoned, bytes by phase and part and counts of a step, and what its
    dry run found. ``name`` says what it was; no path and no text is kept."""

    model_config = ConfigDict(frozen=True)

    name: str
    phases: Mapping[str, Mapping[str, int]]
    flops: float
    moved: float
    calls: float
    measuring_flops: float
    measured: Measured

    @classmethod
    def of(cls, name: str, reckoned: Reckoned, measured: Measured) -> "Record":
        """Both sides of one training."""
        return cls(
            name=name,
            phases={phase.phase: phase.bytes for phase in reckoned.phases},
            flops=reckoned.flops,
            moved=reckoned.moved,
            calls=reckoned.calls,
            measuring_flops=reckoned.measuring_flops,
            measured=measured,
        )


def cache_folder() -> Path:
    """``$PRETUNE_CACHE``, or ``pretune`` in the user's cache folder."""
    if given := os.environ.get("PRETUNE_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pretune"


@lru_cache(maxsize=1)
def shipped_records() -> tuple[Record, ...]:
    """What was measured for the package."""
    text = files("pretune.training.estimate").joinpath(SHIPPED).read_text(encoding="utf-8")
    return tuple(Record.model_validate_json(line) for line in text.splitlines())


def own_records(folder: Path) -> tuple[Record, ...]:
    """The dry runs that were kept in ``folder``; none where there is no such file.

    Raises:
        StorageError: the file cannot be read.
    """
    path = folder / HISTORY
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(Record.model_validate_json(line) for line in lines if line)
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError, ValueError) as error:
        raise StorageError(
            f'"{path}" is no file of dry runs; delete it, they only sharpen estimates'
        ) from error


def keep_record(record: Record, folder: Path) -> None:
    """Add ``record`` to those in ``folder``; a kill leaves all of the earlier ones.

    Raises:
        StorageError: the folder cannot be written, or its file cannot be read.
        BusyError: another process holds it for long.
    """
    with folder_lock(folder, "keeping a dry run", wait=_WAIT):
        lines = [one.model_dump_json() for one in (*own_records(folder), record)]
        write_atomic(folder / HISTORY, "\n".join(lines) + "\n")
