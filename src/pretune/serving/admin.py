"""Routes of those who may change what is served; all under one path, behind keys of their own.

Versions come from the registry that the server was started with; no client names a path.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from pretune.core.errors import BusyError, GoalMissed, PretuneError, SpecError, UnknownName
from pretune.registry.author import Author
from pretune.registry.describe import describe, summary
from pretune.serving.bodies import read
from pretune.serving.refusal import Refused, overloaded
from pretune.serving.shelf import Shelf, changed
from pretune.serving.wire import read_json

if TYPE_CHECKING:
    from pretune.serving.app import Service

PATH = "/v1/tasks"


def is_admin_path(path: str) -> bool:
    """Whether a path, as it will be routed, belongs to administrators: whatever begins like theirs,
    as the router finds :data:`PATH` in what has a line's end behind it, too."""
    return path.startswith(PATH)


def closed() -> Refused:
    """What everybody is told where there are no keys of administrators."""
    return Refused(
        "these routes are closed; their keys are set with --admin-keys",
        403,
        kind="permission_error",
    )


class RollBackBody(BaseModel):
    """``POST .../rollback``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    why: str = Field("", max_length=500)


class PromoteBody(RollBackBody):
    """``POST .../promote``: a version's digest, or the beginning of it; ``override`` is why it may
    answer without a gate's pass."""

    version: str = Field(min_length=1, max_length=64)
    override: str | None = Field(None, min_length=1, max_length=500)


class ShadowBody(RollBackBody):
    """``POST .../shadow``; ``null`` ends it."""

    version: str | None = Field(max_length=64)


class CanaryBody(ShadowBody):
    """``POST .../canary``; ``null`` ends it."""

    share: float = Field(0.1, gt=0, lt=1)


class LoadBody(RollBackBody):
    """``POST /v1/tasks``: serve a task of the registry; ``version``, where given, is promoted."""

    name: str = Field(min_length=1, max_length=64)
    version: str | None = Field(None, min_length=1, max_length=64)


def admin_routes(service: "Service") -> APIRouter:
    """The routes; where no registry is served, each says so."""
    router = APIRouter(prefix=PATH)
    routes = _Routes(service)
    router.add_api_route("", routes.tasks, methods=["GET"])
    router.add_api_route("", routes.load, methods=["POST"])
    router.add_api_route("/{name}", routes.task, methods=["GET"])
    router.add_api_route("/{name}", routes.unload, methods=["DELETE"])
    router.add_api_route("/{name}/promote", routes.promote, methods=["POST"])
    router.add_api_route("/{name}/rollback", routes.roll_back, methods=["POST"])
    router.add_api_route("/{name}/canary", routes.canary, methods=["POST"])
    router.add_api_route("/{name}/shadow", routes.shadow, methods=["POST"])
    return router


class _Routes:
    """One method a route; each change is served when its answer is sent."""

    def __init__(self, service: "Service") -> None:
        self._service = service

    @property
    def _shelf(self) -> Shelf:
        if self._service.shelf is None:
            raise Refused("this server serves no registry, so its tasks stay as they are", 409)
        return self._service.shelf

    def tasks(self) -> dict[str, Any]:
        """All tasks of the registry, and whether they are served."""
        registry = self._shelf.registry
        data = [{**summary(registry, name), **self._here(name)} for name in registry.names()]
        return {"object": "list", "data": data}

    def task(self, name: str) -> dict[str, Any]:
        """One of them with its versions, their lineage, and its history."""
        try:
            return {**describe(self._shelf.registry, name), **self._here(name)}
        except PretuneError as error:
            raise _refused(error) from error

    def _here(self, name: str) -> dict[str, Any]:
        served = any(task.name == name and task.version for task in self._service.catalogue)
        problem = self._shelf.problems.get(name)
        return {"served": served} | ({"problem": problem} if problem else {})

    async def load(self, request: Request) -> dict[str, Any]:
        """Serve a task of the registry."""
        body = read(LoadBody, *await read_json(request))
        shelf = self._shelf

        def change() -> None:
            state = shelf.registry.task(body.name)
            if body.version is not None:
                shelf.registry.promote(body.name, body.version, _author(request, body.why))
            elif state.current is None:
                raise SpecError(f'task "{body.name}" has no current version; name one to promote')
            shelf.load(body.name)

        return await self._changed(body.name, change)

    async def unload(self, name: str) -> dict[str, Any]:
        """Serve a task no more; the registry keeps it."""
        return await self._changed(name, lambda: self._shelf.unload(name))

    async def promote(self, name: str, request: Request) -> dict[str, Any]:
        """Let a version answer."""
        body = read(PromoteBody, *await read_json(request))
        author = _author(request, body.why)
        return await self._changed(
            name,
            lambda: self._shelf.registry.promote(
                name, body.version, author, override=body.override
            ),
        )

    async def roll_back(self, name: str, request: Request) -> dict[str, Any]:
        """Return to the version before."""
        body = read(RollBackBody, *await read_json(request))
        author = _author(request, body.why)
        return await self._changed(name, lambda: self._shelf.registry.roll_back(name, author))

    async def canary(self, name: str, request: Request) -> dict[str, Any]:
        """Let a version answer a share of the requests."""
        body = read(CanaryBody, *await read_json(request))
        author = _author(request, body.why)
        return await self._changed(
            name, lambda: self._shelf.registry.canary(name, body.version, body.share, author)
        )

    async def shadow(self, name: str, request: Request) -> dict[str, Any]:
        """Ask a version whatever is asked."""
        body = read(ShadowBody, *await read_json(request))
        author = _author(request, body.why)
        return await self._changed(
            name, lambda: self._shelf.registry.shadow(name, body.version, author)
        )

    async def _changed(self, name: str, change: Callable[[], object]) -> dict[str, Any]:
        try:
            await changed(self._shelf, self._service, change)
        except PretuneError as error:
            raise _refused(error) from error
        return self.task(name)


def _author(request: Request, why: str) -> Author:
    """Which key it was, by the beginning of the hash that the operator's file holds of it."""
    return Author(f"admin key {request.state.key[:8]}", why)


def _refused(error: PretuneError) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, BusyError):
        return overloaded(str(error), 503)
    statuses = ((UnknownName, 404), (GoalMissed, 409), (SpecError, 400))
    status = next((status for kind, status in statuses if isinstance(error, kind)), 500)
    kind = "server_error" if status == 500 else "invalid_request_error"
    return Refused(str(error), status, kind=kind)
