"""Finished runs behind one HTTP server: folders to tasks, tasks to a service."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter, read_manifest
from pretune.api.runs import RunFolder
from pretune.api.workbench import Workbench
from pretune.bases import Base
from pretune.core.errors import DataError, SpecError
from pretune.core.files import write_atomic
from pretune.core.hosts import is_loopback
from pretune.core.names import unknown
from pretune.engine.engine import Engine, Size
from pretune.monitoring.prometheus import Prometheus
from pretune.serving.app import Service, create_app
from pretune.serving.catalogue import Catalogue, ServedTask
from pretune.serving.keys import Keys, hashed
from pretune.serving.worker import Worker
from pretune.spec.base import BaseSpec
from pretune.spec.task import TaskSpec, load_task

DRAIN_SECONDS = 30
"""What requests under way get after SIGTERM."""


@dataclass(frozen=True)
class ServeOptions:
    """How a server listens and how much it holds.

    ``cache_tokens`` of all requests together, prompts kept for reuse included; ``slots`` adapters
    in prefill at a time; ``most_requests`` under way, waiting ones included.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: Path | None = None
    cache_tokens: int = 32_768
    slots: int = 8
    most_requests: int = 256


@dataclass(frozen=True)
class FoundTask:
    """A finished run on disk."""

    spec: TaskSpec
    folder: Path
    digest: str


@dataclass
class Store:
    """Adapters of the served runs, by digest."""

    folders: dict[str, Path] = field(default_factory=dict)

    def load(self, digest: str) -> Adapter:
        """Read one from disk, checked against its own digests."""
        if digest not in self.folders:
            raise unknown("adapter", digest, self.folders)
        return load_adapter(self.folders[digest])


def find_tasks(places: Sequence[Path]) -> list[FoundTask]:
    """The finished runs in ``places`` and the folders below them, by task name.

    Raises:
        DataError: none, or two of one name.
    """
    found: dict[str, FoundTask] = {}
    for run in (RunFolder(path) for place in places for path in _run_folders(place)):
        spec, folder = load_task(run.task), run.adapter()
        if spec.name in found:
            raise DataError(
                f'two runs are of task "{spec.name}": "{found[spec.name].folder}" and "{folder}"; '
                "name the one that is to be served"
            )
        found[spec.name] = FoundTask(spec, folder, str(read_manifest(folder)["digest"]))
    if not found:
        listed = ", ".join(f'"{place}"' for place in places)
        raise DataError(f"no finished run in {listed}; train a task with: pretune train TASK.yaml")
    return list(found.values())


def _run_folders(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        raise DataError(f'"{place}" is no folder; name a run, or a folder of runs')
    yield from sorted(record.parent for record in place.rglob("run.json"))


def build(tasks: Sequence[FoundTask], options: ServeOptions) -> FastAPI:
    """The application that serves ``tasks`` and their bare base.

    Raises:
        SpecError: the tasks are of several bases, or the options let strangers in.
    """
    check_address(options)
    base = _one_base([task.spec for task in tasks])
    store = Store({task.digest: task.folder for task in tasks})
    block = Size().block
    size = Size(blocks=max(1, options.cache_tokens // block), slots=options.slots)
    engine = Engine(base, base.renderer.end_ids, store.load, size)
    served = [ServedTask(Path(base.name).name), *(
        ServedTask(task.spec.name, task.spec, task.digest) for task in tasks
    )]  # fmt: skip
    return create_app(
        Service(
            worker=Worker(engine, options.most_requests),
            catalogue=Catalogue(base.renderer, base.anatomy.vocabulary, served),
            renderer=base.renderer,
            keys=read_keys(options.keys),
            meter=Prometheus(),
            longest=min(base.renderer.context_length, size.blocks * block),
        )
    )


def _one_base(specs: Sequence[TaskSpec]) -> Base:
    bases: dict[BaseSpec, str] = {spec.base: spec.name for spec in specs}
    if len(bases) > 1:
        listed = "; ".join(f'"{spec.name}" ({name})' for spec, name in bases.items())
        raise SpecError(f"these tasks are of several bases: {listed}; serve each base by itself")
    return Workbench.open(next(iter(bases))).base


def check_address(options: ServeOptions) -> None:
    """Refuse to listen beyond this machine without keys."""
    if options.keys is None and not is_loopback(options.host):
        raise SpecError(
            f'"{options.host}" can be reached from other machines, and no keys are set; make one '
            "with: pretune serve --new-key keys.txt, and give --keys keys.txt"
        )


def read_keys(path: Path | None) -> Keys:
    """The hashes in a key file, one a line.

    Raises:
        SpecError: no such file, no hash in it, or a line that is none.
    """
    if path is None:
        return Keys()
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f'cannot read keys from "{path}": {error}') from error
    if not lines:
        raise SpecError(f'"{path}" holds no key; add one with: pretune serve --new-key "{path}"')
    if any(len(line) != 64 or set(line) - set("0123456789abcdef") for line in lines):
        raise SpecError(f'"{path}" holds a line that is no hash of a key; keys are kept as hashes')
    return Keys(lines)


def new_key(path: Path) -> str:
    """Make a key, add its hash to ``path``, and return the key, which is kept nowhere."""
    key = secrets.token_urlsafe(32)
    before = path.read_text(encoding="ascii") if path.exists() else ""
    write_atomic(path, f"{before}{hashed(key)}\n")
    return key


class Server(uvicorn.Server):
    """Uvicorn, which tells the worker that it is about to stop, and somebody that it listens."""

    def __init__(self, app: FastAPI, options: ServeOptions, listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=options.host,
                port=options.port,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._worker: Worker = app.state.worker
        self._listening = listening

    async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
        """Listen."""
        await super().startup(sockets)
        if self.started:
            self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more requests, finish those under way."""
        self._worker.drain()
        super().handle_exit(sig, frame)
