"""The routes. Each reads a body, asks the answerer, and writes OpenAI's form."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pretune.core.protocols import Renderer
from pretune.engine.engine import Begun
from pretune.serving.admin import admin_routes, closed, is_admin_path
from pretune.serving.admission import Admission
from pretune.serving.answers import Answer, Answerer, Items, Piece, Terms
from pretune.serving.bodies import MOST_NAME, Body, ChatBody, CompletionBody, read
from pretune.serving.catalogue import Asked, Catalogue, ServedTask
from pretune.serving.forms import Chat, Form, Text
from pretune.serving.grammars import Grammars
from pretune.serving.keys import NO_KEYS, Keys
from pretune.serving.meter import Meter, Served
from pretune.serving.reading import Reader
from pretune.serving.refusal import Refused
from pretune.serving.shadow import Shadows, request_key
from pretune.serving.shelf import Shelf, followed
from pretune.serving.wire import Events, Faults, event, read_json
from pretune.serving.worker import Worker

T = TypeVar("T")
B = TypeVar("B", ChatBody, CompletionBody)

DEADLINE = 600.0
"""Seconds that a request may take where it names no ``timeout``."""

_OPEN = frozenset({"/health", "/ready"})
"""What a load balancer may ask without a key."""


@dataclass(eq=False)
class Service:
    """What the routes need: where prompts are answered, for whom, how many, and who counts.

    ``shelf`` replaces ``catalogue`` when its registry changes; ``admin`` are the keys of those who
    may change the registry through this server, none if nobody may.
    """

    worker: Worker
    catalogue: Catalogue
    renderer: Renderer
    grammars: Grammars
    keys: Keys
    admission: Admission
    meter: Meter
    longest: int
    shelf: Shelf | None = None
    admin: Keys = NO_KEYS


def create_app(service: Service) -> FastAPI:
    """The application; it starts the service's worker, and drains and stops it at the end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        async with followed(service), routes.shadows:
            yield
        service.worker.stop()

    app = FastAPI(
        title="pretune", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.service = service
    routes = _Routes(service)
    app.add_api_route("/v1/models", routes.models, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", routes.model, methods=["GET"])
    app.add_api_route("/v1/chat/completions", routes.chat, methods=["POST"])
    app.add_api_route("/v1/completions", routes.completions, methods=["POST"])
    app.add_api_route("/health", routes.health, methods=["GET"])
    app.add_api_route("/ready", routes.ready, methods=["GET"])
    app.add_api_route("/metrics", routes.metrics, methods=["GET"])
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(404, _no_route)
    app.add_exception_handler(405, _no_route)
    app.include_router(admin_routes(service))
    app.add_middleware(_Guard, keys=service.keys, admin=service.admin)
    app.add_middleware(Faults)
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response()


async def _no_route(request: Request, _error: Exception) -> Response:
    return Refused(f"there is no {request.method} at this path", 404).response()


class _Guard:
    """Keys, before anything else is looked at. By the path that will be routed, not the raw one, so
    that no spelling of a path leads past it."""

    def __init__(self, app: ASGIApp, keys: Keys, admin: Keys) -> None:
        self._app, self._keys, self._admin = app, keys, admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            admin = is_admin_path(scope["path"])
            if admin and not self._admin:
                await closed().response()(scope, receive, send)
                return
            keys = self._admin if admin else self._keys
            holder = keys.holder(Headers(scope=scope).get("authorization"))
            scope.setdefault("state", {})["key"] = holder
            if holder is None:
                refused = Refused(
                    "a valid API key is needed, as: Authorization: Bearer KEY",
                    401,
                    kind="authentication_error",
                )
                await refused.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Routes:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._started = int(time.time())
        self._answerer = Answerer(
            service.worker, service.renderer, service.grammars, service.longest
        )
        self._reader = Reader(service.worker.most)
        self.shadows = Shadows(self._answerer, self._reader, service.meter)

    async def models(self) -> dict[str, Any]:
        """Every task, and the base, as models."""
        data = [self._shown(task) for task in self._service.catalogue]
        return {"object": "list", "data": data}

    async def model(self, name: str) -> dict[str, Any]:
        """One of them."""
        return self._shown(self._service.catalogue[name])

    def _shown(self, task: ServedTask) -> dict[str, Any]:
        return {
            "id": task.name,
            "object": "model",
            "created": self._started,
            "owned_by": "pretune",
            "adapter": task.adapter,
            "version": task.version,
            "columns": list(task.columns),
            "labels": list(task.labels),
        }

    async def health(self) -> Response:
        """Whether the engine works."""
        well = self._service.worker.healthy
        return JSONResponse({"status": "ok" if well else "broken"}, 200 if well else 503)

    async def ready(self) -> Response:
        """Whether new requests are taken."""
        open_ = self._service.worker.ready
        return JSONResponse({"ready": open_}, 200 if open_ else 503)

    async def metrics(self) -> Response:
        """Counts for Prometheus."""
        body, kind = self._service.meter.exposition(self._service.worker.stats())
        return Response(body, media_type=kind)

    async def chat(self, request: Request) -> Response:
        """Chat completions."""
        return await self._respond(request, await self._body(ChatBody, request), Chat)

    async def completions(self, request: Request) -> Response:
        """Plain completions."""
        return await self._respond(request, await self._body(CompletionBody, request), Text)

    async def _body(self, kind: type[B], request: Request) -> B:
        """The request's body; one that is refused counts for the task that it names."""
        value, size = await read_json(request)
        try:
            return read(kind, value, size)
        except Refused as error:
            if (task := self._named(value)) is not None:
                _Call(task, self._service.meter).end(str(error.status))
            raise

    def _named(self, value: Any) -> ServedTask | None:
        """Which of the served tasks a body of any shape names."""
        model = value.get("model") if isinstance(value, dict) else None
        if isinstance(model, str) and len(model) <= MOST_NAME:
            with suppress(Refused):
                return self._service.catalogue[model]
        return None

    async def _respond(
        self, request: Request, body: ChatBody | CompletionBody, kind: type[Form]
    ) -> Response:
        task = self._service.catalogue.choose(body.model, partial(request_key, request, body))
        form = kind(self._service.renderer.spell, log_probs=body.alternatives is not None)
        call = _Call(task, self._service.meter)
        items = self._counted(body, self._admitted(request.state.key, task, body, call), call)
        head = {
            "id": f"{form.prefix}-{uuid4().hex}",
            "created": int(time.time()),
            "model": task.name,
            "system_fingerprint": task.short or None,
        }
        if body.stream:
            # What is refused is refused before the stream begins, as a proper status.
            first = await _unless_gone(request, anext(items))
            events = self._events(first, items, head, body, form, call)
            return Events(events)
        answers = await _unless_gone(request, _collected(items))
        choices = [form.choice(one) for one in answers]
        return JSONResponse(
            {**head, "object": form.whole, "choices": choices, "usage": call.usage()}
        )

    async def _admitted(
        self, key: str, task: ServedTask, body: ChatBody | CompletionBody, call: "_Call"
    ) -> Items:
        """What is answered, while the limits let it; kept apart in the cache from other keys'."""
        admission, catalogue = self._service.admission, self._service.catalogue
        until = asyncio.get_running_loop().time() + (body.timeout or DEADLINE)
        terms = Terms(key + (body.cache_salt or ""), admission.weight(task.name), until)
        with admission.admit(key, task.name, body.answers):
            self._service.worker.check(task.name)
            line = f"{key} {task.name}"
            async with asyncio.timeout_at(until):
                asked = await self._reader.asked(catalogue, task, body, line)
            call.read(asked)
            answering = self._answerer.stream(task, body, asked, terms)
            answering = self.shadows.follow(answering, catalogue, task, body, terms)
            async with aclosing(answering) as own:
                async for item in own:
                    yield item

    async def _counted(self, body: Body, items: Items, call: "_Call") -> Items:
        """``items``, counted whatever comes of them."""
        outcome = "cancelled"
        try:
            async with aclosing(items) as own:
                async for item in own:
                    call.note(item)
                    yield item
            outcome = "ok"
        except TimeoutError:
            outcome = "504"
            raise Refused(
                f"not done after {body.timeout or DEADLINE:g} seconds; ask for fewer tokens or "
                "give it more time",
                504,
                kind="timeout_error",
            ) from None
        except Refused as error:
            outcome = str(error.status)
            raise
        except Exception:  # nobody foresaw it, and the client has not left
            outcome = "500"
            raise
        finally:
            call.end(outcome)

    async def _events(
        self,
        first: Piece | Answer,
        items: Items,
        head: dict[str, Any],
        body: Any,
        form: Form,
        call: "_Call",
    ) -> AsyncGenerator[str, None]:
        """Server-sent events; an error after the first one is an event too, and the last."""
        try:
            async with aclosing(items) as own:
                item: Piece | Answer | None = first
                while item is not None:
                    if isinstance(item, Piece):
                        choice = form.piece(item)
                        yield event({**head, "object": form.part, "choices": [choice]})
                    item = await anext(own, None)
        except Refused as error:
            yield event(error.body)
        else:
            if body.stream_options and body.stream_options.include_usage:
                yield event({**head, "object": form.part, "choices": [], "usage": call.usage()})
        yield "data: [DONE]\n\n"


class _Call:
    """One request's time and tokens."""

    def __init__(self, task: ServedTask, meter: Meter) -> None:
        self._task, self._meter = task, meter
        self._prompt, self._new = 0, 0
        self._began = time.monotonic()
        self._first: float | None = None
        self._begun: list[Begun] = []
        self._last: dict[int, float] = {}
        self._gaps: list[float] = []

    def read(self, asked: Sequence[Asked]) -> None:
        """Its prompts are known."""
        self._prompt = sum(len(segment) for one in asked for segment in one.segments)

    def note(self, item: Piece | Answer) -> None:
        """A piece or an answer came."""
        now = time.monotonic()
        if self._first is None:
            self._first = now - self._began
        if isinstance(item, Piece):
            if item.chosen:
                if item.index in self._last:
                    self._gaps.append(now - self._last[item.index])
                self._last[item.index] = now
            self._new += len(item.chosen)
            if item.begun is not None:
                self._begun.append(item.begun)

    def end(self, outcome: str) -> None:
        """It is over."""
        took = time.monotonic() - self._began
        task = self._task
        begun, gaps = tuple(self._begun), tuple(self._gaps)
        read_ = self._prompt if begun else 0  # what was refused was not read
        self._meter.served(
            Served(task.name, outcome, took, self._first, read_, self._new, task.short, begun, gaps)
        )

    def usage(self) -> dict[str, int]:
        """OpenAI's token counts."""
        return {
            "prompt_tokens": self._prompt,
            "completion_tokens": self._new,
            "total_tokens": self._prompt + self._new,
        }


async def _collected(items: Items) -> list[Answer]:
    answers = [item async for item in items if isinstance(item, Answer)]
    return sorted(answers, key=lambda answer: answer.index)


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """The result of ``work``, given up when the client leaves."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Refused("the client left", 499)
    finally:
        for one in (working, leaving):
            one.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
