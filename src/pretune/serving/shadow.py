"""Requests that say themselves which version they go to, and shadows that answer for the count."""

import asyncio
import json
from contextlib import aclosing

from fastapi import Request

from pretune.core.errors import PretuneError
from pretune.serving.answers import Answer, Answerer, Items, Terms
from pretune.serving.bodies import ChatBody, CompletionBody
from pretune.serving.catalogue import Catalogue, ServedTask
from pretune.serving.meter import Meter
from pretune.serving.reading import Reader
from pretune.serving.refusal import Refused
from pretune.serving.wire import log_fault

MOST_SHADOWS = 4
"""Shadow requests under way; what more there is is skipped: nobody waits for a shadow."""

SHADOW_SECONDS = 60

_HOW = {"stream", "stream_options", "timeout"}
"""Fields that say how an answer is sent, not what is asked."""


def request_key(request: Request, body: ChatBody | CompletionBody) -> str:
    """What a request and its retries have in common: its ``X-Request-Id``, or all it asks."""
    given = request.headers.get("x-request-id")
    return given or json.dumps(body.model_dump(exclude=_HOW), sort_keys=True)


class Shadows:
    """Asks shadow versions what current ones were asked, afterwards and in the background, and
    counts where both say the same. As a context, gives up what runs at its end."""

    def __init__(self, answerer: Answerer, reader: Reader, meter: Meter) -> None:
        self._answerer, self._reader, self._meter = answerer, reader, meter
        self._running: set[asyncio.Task[None]] = set()

    def follow(
        self,
        items: Items,
        catalogue: Catalogue,
        task: ServedTask,
        body: ChatBody | CompletionBody,
        terms: Terms,
    ) -> Items:
        """``items`` as they are; after a good end the shadow of ``task``, if any, is asked too, on
        the same terms."""
        shadow = catalogue.shadow_of(task)
        return items if shadow is None else self._followed(items, catalogue, shadow, body, terms)

    async def _followed(
        self,
        items: Items,
        catalogue: Catalogue,
        shadow: ServedTask,
        body: ChatBody | CompletionBody,
        terms: Terms,
    ) -> Items:
        answers = []
        async with aclosing(items) as own:
            async for item in own:
                if isinstance(item, Answer):
                    answers.append(item)
                yield item
        chance = body.temperature > 0 and body.seed is None
        if chance or len(self._running) >= MOST_SHADOWS or self._reader.busy:
            self._meter.shadowed(shadow.name, shadow.short, "skipped")
            return
        asking = asyncio.create_task(self._ask(catalogue, shadow, body, terms, answers))
        self._running.add(asking)
        asking.add_done_callback(self._running.discard)

    async def _ask(
        self,
        catalogue: Catalogue,
        shadow: ServedTask,
        body: ChatBody | CompletionBody,
        terms: Terms,
        answers: list[Answer],
    ) -> None:
        try:
            async with asyncio.timeout(SHADOW_SECONDS):
                asked = await self._reader.asked(catalogue, shadow, body, line="")
                stream = self._answerer.stream(shadow, body, asked, terms._replace(until=None))
                found = [item async for item in stream if isinstance(item, Answer)]
            result = "agrees" if _said(found) == _said(answers) else "differs"
        except Refused as error:
            result = "skipped" if error.status in (429, 503) else "failed"
        except (PretuneError, TimeoutError):
            result = "failed"
        except Exception as error:  # asyncio would log its words, which may be a user's
            log_fault(error)
            result = "failed"
        self._meter.shadowed(shadow.name, shadow.short, result)

    async def __aenter__(self) -> "Shadows":
        return self

    async def __aexit__(self, *_error: object) -> None:
        for asking in self._running:
            asking.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def _said(answers: list[Answer]) -> list[tuple[int, str, str | None]]:
    return sorted(
        (one.index, one.text, one.labelled.label if one.labelled else None) for one in answers
    )
