"""Chat messages to turns, in the two spellings that data sets use."""

import json
from collections.abc import Mapping
from typing import Any

from pretune.core.segments import Role, Turn
from pretune.data.refusal import RowRefused
from pretune.data.rejected import Reason

ROLES: dict[str, Role] = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "context": Role.CONTEXT,
    "user": Role.USER,
    "human": Role.USER,
    "tool": Role.USER,
    "function": Role.USER,
    "observation": Role.USER,
    "assistant": Role.ASSISTANT,
    "gpt": Role.ASSISTANT,
    "function_call": Role.ASSISTANT,
}
"""Who speaks, by the names that OpenAI's and ShareGPT's formats have for it. A tool's result is
what the model did not write, so it is the user's side."""


def turns_of(value: Any) -> tuple[Turn, ...]:
    """Turns of a list of ``{role, content}`` or ``{from, value}`` messages, or of its JSON text.

    Raises:
        RowRefused: not such a list, an unknown role, or content that is no text.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
            json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair
        except (ValueError, RecursionError) as error:
            raise RowRefused(Reason.BAD_MESSAGES, "the messages are no JSON") from error
    if not isinstance(value, (list, tuple)) or not value:
        raise RowRefused(Reason.BAD_MESSAGES, "the messages are no list, or an empty one")
    return tuple(_turn(number, message) for number, message in enumerate(value, 1))


def _turn(number: int, message: Any) -> Turn:
    if not isinstance(message, Mapping):
        raise RowRefused(Reason.BAD_MESSAGES, f"message {number} is no object")
    name = message.get("role", message.get("from"))
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise RowRefused(
            Reason.BAD_MESSAGES, f"message {number} has no known role; known: {', '.join(ROLES)}"
        )
    return Turn(role, _text(number, message))


def _text(number: int, message: Mapping[str, Any]) -> str:
    content = message.get("content", message.get("value"))
    calls = message.get("tool_calls")
    called = json.dumps(calls, ensure_ascii=False) if calls else ""
    if content is None and calls:
        return called
    if isinstance(content, str):
        return content + called
    if isinstance(content, list) and all(
        isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content
    ):
        return "".join(part["text"] for part in content) + called
    raise RowRefused(Reason.BAD_MESSAGES, f"message {number} has no text")
