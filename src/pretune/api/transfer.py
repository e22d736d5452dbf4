"""Similar tasks of a registry: whose recipes, and whose adapters, a new task may begin with.

Similarity is measured on what matters: the share of the base's loss on the new task's own rows that
another task's adapter takes away. It needs no row of the other task, compares what two tasks ask of
the base rather than their words, and costs one forward pass of a few rows for each adapter.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter
from pretune.api.workbench import Workbench, sample
from pretune.core.errors import AdapterError, PretuneError, StorageError
from pretune.core.files import folder_atomic, write_atomic
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.data.batches import collate
from pretune.engine.forward import routing_of, target_logits
from pretune.registry import Registry
from pretune.registry.version import Version
from pretune.search.first import Similar
from pretune.search.point import Beginning, beginning_name
from pretune.spec.task import parse_task

ROWS = 64
"""Training rows that similarity is measured on."""

_AT_ONCE = 8

FILE_NAME = "similar.json"


@dataclass(frozen=True)
class Transfer:
    """Similar tasks, the most similar first, their adapters by name, and what was passed over."""

    similar: tuple[Similar, ...] = ()
    beginnings: tuple[tuple[str, Beginning], ...] = ()
    passed: tuple[str, ...] = ()


def loss_on(
    workbench: Workbench, examples: Sequence[TokenExample], adapter: Adapter | None
) -> float:
    """Mean loss of the rows' answers, in nats a token, with ``adapter`` or the bare base.

    Raises:
        AdapterError: it belongs to another base.
    """
    injection = workbench.injection
    scope = Scope.PROMPT if adapter is None else adapter.scope
    virtual = 0 if adapter is None else adapter.config.virtual_tokens
    total = tokens = 0.0
    mounted = None if adapter is None else injection.mount("measured", adapter)
    try:
        for start in range(0, len(examples), _AT_ONCE):
            batch = collate(examples[start : start + _AT_ONCE], scope, virtual)
            with torch.no_grad(), injection.routed(routing_of(batch, mounted)):
                found = target_logits(injection, batch)
            total += float(cross_entropy(found.logits.float(), found.ids, reduction="sum"))
            tokens += len(found.ids)
    finally:
        if mounted is not None:
            injection.unmount("measured")
    return total / tokens


def similarity(
    workbench: Workbench, examples: Sequence[TokenExample], adapter: Adapter, bare: float
) -> float:
    """The share of the ``bare`` base's loss on ``examples`` that ``adapter`` takes away: 1 all of
    it, 0 none, below 0 it adds to it."""
    return 1 - loss_on(workbench, examples, adapter) / bare


def find_similar(
    registry: Path,
    task: str,
    workbench: Workbench,
    examples: Sequence[TokenExample],
    most: int,
    folder: Path,
) -> Transfer:
    """The ``most`` similar tasks of ``registry`` on this base, but for ``task`` itself.

    Their adapters are copied to ``folder``: a search must not change when the registry does. What
    was found once is read from there.

    Raises:
        StorageError: no registry, or the folder cannot be written.
    """
    if not (folder / FILE_NAME).exists():
        rows = sample(examples, ROWS)
        found, passed = _measured(Registry(registry), task, workbench, rows)
        best = sorted(found, key=lambda one: -one[0])
        kept = [one for one in best if one[0] > 0][:most]
        passed += [
            f"{version.task}: similarity {value:.2f}, left out"
            for value, version, _ in best
            if (value, version) not in [(one[0], one[1]) for one in kept]
        ]
        lines = []
        for value, version, source in kept:
            target = folder / version.adapter[:12]
            with folder_atomic(target) as draft:
                shutil.copytree(source, draft, dirs_exist_ok=True)
            lines.append(
                {
                    "task": version.task,
                    "spec": version.spec,
                    "similarity": value,
                    "adapter": target.name,
                    "digest": version.adapter,
                }
            )
        write_atomic(
            folder / FILE_NAME, json.dumps({"similar": lines, "passed": passed}, indent=1) + "\n"
        )
    return read_similar(folder)


def read_similar(folder: Path) -> Transfer:
    """What :func:`find_similar` left in ``folder``; nothing where it was not asked.

    Raises:
        StorageError: it is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return Transfer()
    try:
        value: dict[str, Any] = json.loads(path.read_text("utf-8"))
        similar, beginnings = [], []
        for one in value["similar"]:
            name = beginning_name(one["task"], one["digest"])
            adapter = load_adapter(folder / one["adapter"])
            spec = parse_task(one["spec"], name=one["task"])
            similar.append(Similar(one["task"], spec, one["similarity"], name))
            place = folder / one["adapter"]
            beginnings.append((name, Beginning(place, adapter.config, adapter.scope)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f'"{path}" is damaged ({error}); begin anew with --overwrite') from error
    return Transfer(tuple(similar), tuple(beginnings), tuple(value["passed"]))


def _measured(
    registry: Registry, task: str, workbench: Workbench, rows: Sequence[TokenExample]
) -> tuple[list[tuple[float, Version, Path]], list[str]]:
    """Similarity of each registered task of this base, and why others were passed over."""
    found: list[tuple[float, Version, Path]] = []
    passed: list[str] = []
    bare = loss_on(workbench, rows, None)
    for name in registry.names():
        if name == task:
            continue
        try:
            state = registry.task(name)
            known = registry.versions(state)
            version = registry.version(state.current or known[-1])
            if version.base != workbench.base.digest:
                passed.append(f"{name}: of another base")
                continue
            source = registry.adapter_folder(version)
            value = similarity(workbench, rows, load_adapter(source), bare)
        except IndexError:
            passed.append(f"{name}: no version is left")
        except AdapterError as error:
            passed.append(f"{name}: {error}")
        except PretuneError as error:
            passed.append(f"{name}: cannot be read ({type(error).__name__})")
        else:
            found.append((value, version, source))
    return found, passed
