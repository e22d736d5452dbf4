"""Finished runs behind one HTTP server: folders to tasks, tasks to a service."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch
import uvicorn
from fastapi import FastAPI

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter
from pretune.adapters.kept import Kept
from pretune.adapters.manifest import read_manifest
from pretune.api.registry import anywhere
from pretune.api.runs import RunFolder
from pretune.api.workbench import Workbench
from pretune.bases import Base
from pretune.bases.room import room_on
from pretune.core.digest import SHORT
from pretune.core.errors import AdapterError, DataError, SpecError, StorageError
from pretune.core.hosts import is_loopback
from pretune.core.names import unknown
from pretune.engine.engine import Engine, Size
from pretune.monitoring.prometheus import Prometheus
from pretune.registry import Registry, is_registry
from pretune.serving import wire
from pretune.serving.admission import Admission
from pretune.serving.app import Service, create_app
from pretune.serving.catalogue import Catalogue, ServedTask
from pretune.serving.grammars import Grammars
from pretune.serving.key_file import read_keys
from pretune.serving.keys import Keys
from pretune.serving.shelf import Shelf
from pretune.serving.worker import Worker
from pretune.spec.base import BaseSpec
from pretune.spec.limits import LimitsSpec, load_limits
from pretune.spec.task import TaskSpec, load_task

DRAIN_SECONDS = 30
"""What requests under way get after SIGTERM."""

_MOST_KEPT = 0.125
"""Share of what memory can give at the start that adapters beside the slots may take."""


@dataclass(frozen=True)
class ServeOptions:
    """How a server listens and how much it holds.

    ``cache_tokens`` of all requests together, prompts kept for reuse included; ``slots`` adapters
    in prefill at a time; ``most_requests`` under way, waiting ones included, before tasks that have
    their share of them are refused; ``limits`` of keys and tasks, in a file.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: Path | None = None
    admin_keys: Path | None = None
    cache_tokens: int = 32_768
    slots: int = 8
    most_requests: int = 256
    limits: Path | None = None


@dataclass(frozen=True)
class FoundTask:
    """A finished run on disk."""

    spec: TaskSpec
    folder: Path
    digest: str


@dataclass
class Store:
    """Adapters of the served runs by digest, and those of a registry."""

    folders: dict[str, Path] = field(default_factory=dict)
    registry: Registry | None = None

    def load(self, digest: str) -> Adapter:
        """Read one from disk, checked against its own digests and the one that it is asked by."""
        folder = self.folders.get(digest)
        if folder is None and self.registry is not None:
            folder = self.registry.files.adapter_folder(digest)
        if folder is None:
            raise unknown("adapter", digest, self.folders)
        adapter = load_adapter(folder)
        if adapter.digest != digest:
            remedy = "serve it anew" if digest in self.folders else "add its run again"
            raise AdapterError(
                f'"{folder}" holds adapter "{adapter.digest[:SHORT]}", not "{digest[:SHORT]}" any '
                f"more; {remedy}"
            )
        return adapter


def find_registry(places: Sequence[Path]) -> tuple[Registry | None, list[Path]]:
    """The registry among ``places``, if there is one, and the places that are none.

    Raises:
        SpecError: there are several.
        StorageError: it is damaged, or of a later format.
    """
    found = [place for place in places if is_registry(place)]
    if len(found) > 1:
        listed = ", ".join(f'"{place}"' for place in found)
        raise SpecError(f"{listed} are registries; a server serves one")
    registry = Registry(found[0]) if found else None
    return registry, [place for place in places if place not in found]


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


def build(
    tasks: Sequence[FoundTask], options: ServeOptions, registry: Registry | None = None
) -> FastAPI:
    """The application that serves ``tasks``, those of ``registry``, and their bare base.

    Raises:
        SpecError: the tasks are of several bases, or the options let strangers in.
        DataError: two tasks of one name, or nothing that can be served.
    """
    check_address(options)
    keys, admin = _both_keys(options, registry)
    base = _one_base([*(task.spec for task in tasks), *_current_specs(registry, tasks)])
    store = Store({task.digest: task.folder for task in tasks}, registry)
    block = Size().block
    size = Size(blocks=max(1, options.cache_tokens // block), slots=options.slots)
    load = Kept(store.load, int(_MOST_KEPT * (room_on(torch.device("cpu")) or 0)))
    engine = Engine(base, base.renderer.end_ids, load, size)
    served = [ServedTask(Path(base.name).name), *(
        ServedTask(task.spec.name, task.spec, task.digest) for task in tasks
    )]  # fmt: skip
    catalogue = Catalogue(base.renderer, base.anatomy.vocabulary, served)
    shelf = None
    if registry is not None:
        shelf = Shelf(registry, base.digest, base.renderer, served)
        catalogue = shelf.arrange(shelf.read(), catalogue)
    named = dict.fromkeys(task.name for task in catalogue) | dict.fromkeys(_names(registry))
    limits = _known_limits(options.limits, keys, list(named))
    return create_app(
        Service(
            worker=Worker(engine, options.most_requests),
            catalogue=catalogue,
            renderer=base.renderer,
            grammars=Grammars(
                base.renderer.tokenizer_json, base.renderer.end_ids, base.anatomy.vocabulary
            ),
            keys=keys,
            admission=Admission(limits),
            meter=Prometheus(),
            longest=min(base.renderer.context_length, size.blocks * block),
            shelf=shelf,
            admin=admin,
        )
    )


def _both_keys(options: ServeOptions, registry: Registry | None) -> tuple[Keys, Keys]:
    """Keys of those who ask, and of those who change what is served."""
    keys, admin = read_keys(options.keys), read_keys(options.admin_keys)
    if admin and registry is None:
        raise SpecError(
            f'"{options.admin_keys}" is for changing tasks of a registry, and none is served; '
            "name one, or leave --admin-keys out"
        )
    if keys.share(admin):
        raise SpecError(
            f'"{options.keys}" and "{options.admin_keys}" share a key; give administrators their '
            "own"
        )
    return keys, admin


def _current_specs(registry: Registry | None, tasks: Sequence[FoundTask]) -> list[TaskSpec]:
    """Specs of the versions that answer; tasks that cannot be read are told of later.

    Raises:
        DataError: a name is taken by a run, or there is nothing at all to serve.
    """
    specs = []
    for name in _names(registry):
        assert registry is not None
        if taken := [task for task in tasks if task.spec.name == name]:
            raise DataError(
                f'task "{name}" is in the registry and in "{taken[0].folder}"; serve one of them'
            )
        with suppress(StorageError):
            current = registry.task(name).current
            if current is not None:
                specs.append(registry.version(current).task_spec)
    if registry is not None and not specs and not tasks:
        raise DataError(
            f'no task in "{registry.files.root}" has a current version; let one answer with: '
            f'pretune tasks promote TASK VERSION --registry "{registry.files.root}"'
        )
    return specs


def _one_base(specs: Sequence[TaskSpec]) -> Base:
    # A registry names a base's folder from the root, a run as its task file does.
    bases: dict[BaseSpec, str] = {anywhere(spec).base: spec.name for spec in specs}
    if len(bases) > 1:
        listed = "; ".join(f'"{spec.name}" ({name})' for spec, name in bases.items())
        raise SpecError(f"these tasks are of several bases: {listed}; serve each base by itself")
    return Workbench.open(next(iter(bases))).base


def _names(registry: Registry | None) -> list[str]:
    """Tasks that are, or may come to be, served from the registry."""
    return [] if registry is None else registry.names()


def _known_limits(path: Path | None, keys: Keys, tasks: Sequence[str]) -> LimitsSpec:
    """The limits file, whose keys and tasks must be known ones."""
    limits = LimitsSpec() if path is None else load_limits(path)
    for name in limits.tasks:
        if name not in tasks:
            raise unknown("task", name, tasks)
    for start in limits.keys:
        if not keys.begins(start):
            raise SpecError(
                f'"{path}" limits key "{start}", and no line of the key file begins so; copy the '
                "first characters of the key's line"
            )
    return limits


def check_address(options: ServeOptions) -> None:
    """Refuse to listen beyond this machine without keys."""
    if options.keys is None and not is_loopback(options.host):
        raise SpecError(
            f'"{options.host}" can be reached from other machines, and no keys are set; make one '
            "with: pretune serve --new-key keys.txt, and give --keys keys.txt"
        )


class Server(uvicorn.Server):
    """Uvicorn, which tells the worker that it is about to stop, and somebody where it listens."""

    def __init__(
        self, app: FastAPI, options: ServeOptions, listening: Callable[[str], None]
    ) -> None:
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
        self._worker: Worker = app.state.service.worker
        self._listening = listening

    async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
        """Listen."""
        await super().startup(sockets)
        if self.started:
            self._be_impatient()
            host = self.config.host
            port = self.servers[0].sockets[0].getsockname()[1]  # any free one, where 0 was asked
            self._listening(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def _be_impatient(self) -> None:
        """Of a client that takes nothing the system closes the connection, which uvicorn would keep
        for ever with what is unsent; each connection has it from its listener."""
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            for listener in self.servers[0].sockets:
                milliseconds = int(1000 * wire.PATIENCE)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more requests, finish those under way."""
        self._worker.drain()
        super().handle_exit(sig, frame)
