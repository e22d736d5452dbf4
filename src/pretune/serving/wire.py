"""Bytes in and out, with a client at the other end that may be as slow as it likes."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from traceback import walk_tb
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pretune.serving.refusal import Refused

MOST_BYTES = 4 * 2**20
"""Bytes that a body may have: a context of a million tokens is out of reach of any base here."""

MOST_LEVELS = 64
"""Levels that JSON may be nested: what comes after need not fear for its stack."""

PATIENCE = 30.0
"""Seconds for a body to come, and for a client to take the next piece of a stream."""

_FRAMES = 8
"""Places that the log tells of an error, the innermost first."""

_log = logging.getLogger("pretune.serving")

_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
"""Escapes of characters in two halves; one half alone can be no part of a prompt or an answer."""


async def read_json(request: Request) -> tuple[Any, int]:
    """The body as JSON, read no further and no longer than it may take, and its bytes."""
    read_ = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                read_ += chunk
                if len(read_) > MOST_BYTES:
                    raise Refused(f"the body has more than {MOST_BYTES} bytes", 413)
    except TimeoutError:
        raise Refused(f"the body did not come within {PATIENCE:g} seconds", 408) from None
    except ClientDisconnect:
        raise Refused("the client left", 499) from None
    try:
        text = read_.decode()
        value = json.loads(text)
        if _PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused("the body is no JSON in UTF-8, or holds half a surrogate pair") from None
    if text.count("[") + text.count("{") > MOST_LEVELS and _is_deep(value):
        raise Refused(f"the JSON is nested deeper than {MOST_LEVELS} levels")
    return value, len(read_)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MOST_LEVELS):
        parents = [one for one in level if isinstance(one, dict | list)]
        level = [
            child
            for parent in parents
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return bool(level)


class Events(StreamingResponse):
    """Server-sent events; given up when the client takes nothing for :data:`PATIENCE` seconds."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""

        async def in_time(message: Message) -> None:
            async with asyncio.timeout(PATIENCE):
                await send(message)

        # Closed here: the error refers to who waited for it, and what is only left alone keeps its
        # place until the collector comes by.
        async with aclosing(self._events):
            with suppress(TimeoutError):
                await super().__call__(scope, receive, in_time)


class Faults:
    """What nobody foresaw is 500 for its client, and for the operator's log a kind and a place: the
    error's own words may be a user's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:
            log_fault(error)
            if scope["type"] != "http":
                raise
            if not begun:
                message = "the server failed at this request; its operator finds where in the log"
                refused = Refused(message, 500, kind="server_error")
                await refused.response()(scope, receive, send)


def log_fault(error: Exception) -> None:
    """Tell the operator where it went wrong, and nothing of what was asked."""
    _log.error("%s at %s", type(error).__name__, _place(error))


def event(value: dict[str, Any]) -> str:
    """One event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _place(error: BaseException) -> str:
    frames = [
        f"{Path(frame.f_code.co_filename).name}:{line}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    return " < ".join(frames[: -_FRAMES - 1 : -1])
