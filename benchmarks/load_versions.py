"""Versions that change under the load: which may answer when, and the operator who says so."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx

from pretune.api.registry import register
from pretune.api.runs import RunFolder
from pretune.core.digest import SHORT
from pretune.registry import Registry, Version
from pretune.registry.collect import collect
from pretune.registry.pins import pinned

FOLLOWS = 15.0
"""Seconds after which a busy server has surely seen a change by another process: it looks every
second."""


class Span(NamedTuple):
    """When a version could answer for its task: from the moment somebody began to say so until the
    moment everybody was told otherwise (monotonic seconds)."""

    version: str
    since: float
    until: float


class Pointers:
    """Which versions tasks pointed to, and when; versions by the beginning that answers show."""

    def __init__(self) -> None:
        self._spans: dict[str, list[Span]] = {}

    def point(self, task: str, versions: set[str], since: float, until: float) -> None:
        """From ``since`` on ``task`` may be answered by ``versions``, after ``until`` by no
        others."""
        spans = self._spans.get(task, [])
        kept = [
            one if one.version in versions else one._replace(until=min(one.until, until))
            for one in spans
        ]
        open_ = {one.version for one in kept if one.until == math.inf}
        kept += [Span(version, since, math.inf) for version in versions - open_]
        self._spans[task] = kept

    def allows(self, task: str, version: str, began: float, ended: float) -> bool:
        """Whether ``version`` was pointed to at a moment of a request."""
        return any(
            one.version == version and one.since <= ended and began <= one.until
            for one in self._spans.get(task, ())
        )


class Changing(NamedTuple):
    """A task of the registry, its versions, and where their runs lie."""

    name: str
    versions: tuple[Version, ...]
    runs: tuple[Path, ...]


class Operator:
    """Promotes, rolls back and sends canaries, through the server or past it, and collects what
    nobody needs; what is promoted again after that is added again."""

    def __init__(
        self, url: str, key: str, root: Path, tasks: list[Changing], seed: int = 0
    ) -> None:
        self.pointers = Pointers()
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._url, self._key = url, key
        self._registry = Registry(root)
        self._tasks = tasks
        self._chance = random.Random(seed)
        for task in tasks:
            self._note(task, -math.inf, -math.inf)

    def _note(self, task: Changing, since: float, until: float) -> None:
        self.pointers.point(task.name, self._pointed(task), since, until)

    async def run(self, seconds: float, rate: float) -> None:
        """Changes for ``seconds``, ``rate`` a second on average."""
        end = time.monotonic() + seconds
        headers = {"authorization": f"Bearer {self._key}"}
        async with httpx.AsyncClient(base_url=self._url, timeout=120, headers=headers) as http:
            while (pause := self._chance.expovariate(rate)) < end - time.monotonic():
                await asyncio.sleep(pause)
                await self._change(http, self._chance.choice(self._tasks))
                if self._chance.random() < 0.2:
                    await asyncio.to_thread(collect, self._registry)
                    self.done["collect"] += 1

    async def _change(self, http: httpx.AsyncClient, task: Changing) -> None:
        state = self._registry.task(task.name)
        others = [i for i, one in enumerate(task.versions) if one.digest != state.current]
        number = self._chance.choice(others)
        version = task.versions[number].digest
        kinds = ["promote", "promote", "canary", "end"]
        here = self._registry.versions(state)
        if state.previous in here:
            kinds.append("rollback")
        what = self._chance.choice(kinds)
        if what in ("promote", "canary"):
            await asyncio.to_thread(register, task.runs[number], self._registry.files.root)
        body: dict[str, object] = {"why": "load"}
        if what in ("promote", "canary", "end"):
            body["version"] = None if what == "end" else version
        if what == "canary":
            body["share"] = 0.5
        since = time.monotonic()
        named = state.previous if what == "rollback" else body.get("version")
        coming = {str(named)[:SHORT]} if named else set()
        self.pointers.point(task.name, coming | self._pointed(task), since, math.inf)
        if what == "promote" and self._chance.random() < 0.3:  # as another process would
            self.done["promote elsewhere"] += 1
            await asyncio.to_thread(self._registry.promote, task.name, version)
            self._note(task, since, time.monotonic() + FOLLOWS)
            return
        path = "canary" if what == "end" else what
        response = await http.post(f"/v1/tasks/{task.name}/{path}", json=body)
        self.done[what] += 1
        if response.status_code != 200:
            self.wrong.append(f"operator: {what}: {response.status_code}: {response.text[:200]}")
        self._note(task, since, time.monotonic())

    def _pointed(self, task: Changing) -> set[str]:
        state = self._registry.task(task.name)
        named = [state.current, state.canary.version if state.canary else None]
        return {one[:SHORT] for one in named if one}

    def kept(self) -> set[str]:
        """Versions that some task may need."""
        return {one for task in self._tasks for one in self._registry.task(task.name).kept}

    def left_over(self, seconds: float) -> list[str]:
        """What an idle server still holds for requests that are over, ``seconds`` after them."""
        end = time.monotonic() + seconds
        while (extra := self._pinned() - self.kept()) and time.monotonic() < end:
            time.sleep(0.2)
        return [f"version {one[:SHORT]} is pinned" for one in sorted(extra)]

    def _pinned(self) -> frozenset[str]:
        with self._registry.locked():
            return pinned(self._registry.files.pins)


def set_up(root: Path, runs: Mapping[str, list[Path]]) -> list[Changing]:
    """A registry of ``runs``, by task; of each the first version answers."""
    tasks = []
    for name, folders in runs.items():
        versions = [register(folder, root)[0] for folder in folders]
        Registry(root).promote(name, versions[0].digest)
        tasks.append(Changing(name, tuple(versions), tuple(RunFolder(f).path for f in folders)))
    return tasks
