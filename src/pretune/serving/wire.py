"""Bytes in, with a client at the other end."""

import json
from typing import Any

from fastapi import Request

from pretune.serving.refusal import Refused

MOST_BYTES = 4 * 2**20
"""Bytes that a body may have: a context of a million tokens is out of reach of any base here."""


async def read_json(request: Request) -> Any:
    """The body as JSON, read no further than it may be long.

    Raises:
        Refused: too long, or no JSON.
    """
    read_ = bytearray()
    async for chunk in request.stream():
        read_ += chunk
        if len(read_) > MOST_BYTES:
            raise Refused(f"the body has more than {MOST_BYTES} bytes", 413)
    try:
        return json.loads(read_)
    except (ValueError, RecursionError):
        raise Refused("the body is no JSON") from None
