"""The files of a registry: what lies where, read and written whole."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pretune.adapters.manifest import MANIFEST, WEIGHTS, check_files
from pretune.core.errors import AdapterError, BusyError, SpecError, StorageError
from pretune.core.files import folder_atomic, storage_errors, sync, write_atomic
from pretune.core.names import is_task_name
from pretune.gating.evidence import Evidence, read_evidence
from pretune.gating.report.render import render_card
from pretune.registry.state import TaskState
from pretune.registry.version import FORMAT, Version

MARKER = "registry.json"
"""The file that makes a folder a registry."""

R = TypeVar("R", Version, TaskState)


class RegistryFiles:
    """Paths below ``root``, and their contents. Writing is for those who hold the lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tasks, self.versions = root / "tasks", root / "versions"
        self.adapters, self.pins = root / "adapters", root / "pins"
        self.evidence = root / "evidence"

    def check_marker(self) -> None:
        """Refuse a folder that is no registry, or one of a later format.

        Raises:
            StorageError: says which.
        """
        path = self.root / MARKER
        try:
            found = json.loads(path.read_bytes())["format"]
        except FileNotFoundError:
            raise StorageError(
                f'"{self.root}" is no registry ("{MARKER}" is missing); make one with: '
                f'pretune tasks add RUN --registry "{self.root}"'
            ) from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged(path, "restore it from a backup") from error
        _check_format(found, self.root)

    def write_marker(self) -> None:
        """Make the folder a registry, unless it is one.

        Raises:
            BusyError: the folder holds other work.
        """
        if (self.root / MARKER).exists():
            return
        if _visible(self.root):
            raise BusyError(f'"{self.root}" holds other work and is no registry; name a new folder')
        write_atomic(self.root / MARKER, json.dumps({"format": FORMAT}) + "\n")

    def task_names(self) -> list[str]:
        """Tasks that there are, readable or not."""
        names = (path.stem for path in _visible(self.tasks) if path.suffix == ".json")
        return sorted(name for name in names if is_task_name(name))

    def task_file(self, name: str) -> Path:
        """Where a task's state is; ``name`` must be a task's."""
        assert is_task_name(name), "the caller checks names that strangers may have given"
        return self.tasks / f"{name}.json"

    def read_state(self, name: str) -> TaskState:
        """A task's state.

        Raises:
            FileNotFoundError: no such task.
            StorageError: damaged, or that of a task whose name differs in upper and lower case
                alone, on a disk that does not tell them apart.
        """
        path = self.task_file(name)
        remedy = "restore it from a backup, or remove the file and add the task's runs again"
        state = _read(TaskState, path, remedy)
        if state.task != name:
            if state.task.casefold() == name.casefold():
                raise StorageError(
                    f'"{path}" is the file of task "{state.task}", so no other task can be called '
                    f'"{name}" here; choose a name that differs in more than case'
                )
            raise _damaged(path, remedy)
        return state

    def write_state(self, state: TaskState) -> None:
        """Replace a task's state."""
        text = state.model_dump_json(indent=1, exclude_none=True)
        write_atomic(self.task_file(state.task), text + "\n")

    def version_names(self) -> list[str]:
        """Digests of the versions that there are, readable or not."""
        return sorted(path.stem for path in _visible(self.versions) if path.suffix == ".json")

    def version_file(self, digest: str) -> Path:
        """Where a version's record is."""
        return self.versions / f"{digest}.json"

    def read_version(self, digest: str) -> Version:
        """A version's record.

        Raises:
            FileNotFoundError: no such version.
            StorageError: damaged, not what its name says, or with a spec that means nothing here.
        """
        path = self.version_file(digest)
        remedy = "add its run again"
        version = _read(Version, path, remedy)
        try:
            found = version.digest
        except SpecError as error:  # of a later version of pretune, it may be whole
            raise StorageError(
                f'"{path}" is damaged, or of a later version of pretune ({error}); {remedy}, or '
                "update pretune"
            ) from error
        if found != digest:
            raise _damaged(path, remedy)
        return version

    def write_version(self, version: Version) -> None:
        """Keep a version's record."""
        text = version.model_dump_json(indent=1)
        write_atomic(self.version_file(version.digest), text + "\n")

    def evidence_files(self, digest: str) -> tuple[Path, Path]:
        """Where a gate's report is, and the model card made of it."""
        return self.evidence / f"{digest}.json", self.evidence / f"{digest}.md"

    def evidence_names(self) -> list[str]:
        """Digests of the reports that there are, readable or not."""
        return sorted({path.stem for path in _visible(self.evidence)})

    def read_evidence(self, digest: str) -> Evidence:
        """A gate's report.

        Raises:
            StorageError: it is missing, damaged, or not what its name says.
        """
        path, _ = self.evidence_files(digest)
        found = read_evidence(path)
        if found.digest != digest:
            raise _damaged(path, "run the gate again")
        return found

    def write_evidence(self, evidence: Evidence) -> None:
        """Keep a gate's report; its card stands before it does."""
        path, card = self.evidence_files(evidence.digest)
        write_atomic(card, render_card(evidence))
        write_atomic(path, evidence.file())

    def adapter_folder(self, digest: str) -> Path:
        """Where an adapter is."""
        return self.adapters / digest

    def adapter_names(self) -> list[str]:
        """Digests of the adapters that there are, whole or not."""
        return sorted(path.name for path in _visible(self.adapters))

    def put_adapter(self, source: Path, digest: str) -> None:
        """Copy an adapter here, unless it is here and whole.

        Raises:
            AdapterError: ``source`` is damaged, or another adapter.
        """
        found = check_files(source)["digest"]
        if found != digest:
            raise AdapterError(f'"{source}" holds adapter "{found}", not "{digest}"')
        if self.adapter_whole(digest):
            return
        with folder_atomic(self.adapter_folder(digest)) as draft:
            for name in (WEIGHTS, MANIFEST):
                shutil.copyfile(source / name, draft / name)
            if not _whole(draft, digest):
                raise AdapterError(f'"{source}" changed while it was copied; add the run again')

    def adapter_whole(self, digest: str) -> bool:
        """Whether an adapter is here and agrees with its digests."""
        return _whole(self.adapter_folder(digest), digest)

    def remove(self, path: Path) -> None:
        """Remove a file or folder so that nobody sees half of it; of a link what it leads to
        stays."""
        if _is_folder(path):
            gone = path.with_name(f".{path.name}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            sync(path.parent)
            self.discard(gone)
        else:
            path.unlink()
            sync(path.parent)

    @staticmethod
    def discard(path: Path) -> None:
        """Remove what nobody reads."""
        if _is_folder(path):
            shutil.rmtree(path)
        else:
            path.unlink()

    def leftovers(self) -> Iterator[Path]:
        """What interrupted writers left: with the lock held, nobody is writing it."""
        for folder in (self.tasks, self.versions, self.adapters, self.evidence, self.pins):
            if folder.is_dir():
                yield from (path for path in folder.iterdir() if path.name.startswith("."))


def _is_folder(path: Path) -> bool:
    """A folder itself, and no link to one, which is removed like a file."""
    return path.is_dir() and not path.is_symlink()


def _whole(folder: Path, digest: str) -> bool:
    try:
        return bool(check_files(folder)["digest"] == digest)
    except (AdapterError, OSError):
        return False


def _visible(folder: Path) -> list[Path]:
    with storage_errors("read", folder):
        if not folder.is_dir():
            return []
        return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _read(kind: type[R], path: Path, remedy: str) -> R:
    try:
        raw = json.loads(path.read_bytes())
        _check_format(raw["format"], path)
        return kind.model_validate(raw)
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:
        raise StorageError(f'cannot read "{path}": {error.strerror}') from error
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, remedy) from error


def _check_format(found: object, path: Path) -> None:
    if found != FORMAT:
        raise StorageError(
            f'"{path}" has format {found}, this version reads {FORMAT}; update pretune'
        )


def _damaged(path: Path, remedy: str) -> StorageError:
    return StorageError(f'"{path}" is damaged; {remedy}')
