"""Scope: which token positions an adapter touches. The only place that decides it.

Training's collator, the reference, the engine and every plug-in call these functions or receive
their result. The boundary is an absolute position, fixed when the request is rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pretune.core.errors import ScopeError
from pretune.core.segments import Role, TokenSegment

SCOPE_VERSION = 1
"""Version of the mask's meaning; part of every cache key and manifest."""

PLACEHOLDER_ID = 0
"""Token id that stands at a virtual position; what it embeds to is never read."""


class Scope(StrEnum):
    """``prompt``: all the model did not write; ``suffix``: of that, what follows the shared
    context; ``all``: everything, generated tokens too."""

    PROMPT = "prompt"
    SUFFIX = "suffix"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Layout:
    """One sequence as the model sees it, virtual tokens included; all fields have its length.

    ``routed``: the adapter applies here. ``virtual``: index of the virtual token, -1 for a real
    one. ``written``: the model wrote (or is to write) this token.
    """

    ids: tuple[int, ...]
    routed: tuple[bool, ...]
    virtual: tuple[int, ...]
    written: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)


def shared_context(segments: Sequence[TokenSegment]) -> int:
    """Number of tokens up to the end of the *first* run of context segments.

    The first run, not the last: a context that arrives in a later turn must not change what an
    earlier turn was (design, law 7).

    Raises:
        ScopeError: no segment has the role ``context``.
    """
    end = position = 0
    for segment in segments:
        position += len(segment)
        if segment.role is Role.CONTEXT:
            end = position
        elif end:
            break
    if not end:
        raise ScopeError(
            'scope "suffix" needs a context segment, and this prompt has none; '
            'add "context:" to the template or use scope "prompt"'
        )
    return end


def scope_mask(segments: Sequence[TokenSegment], scope: Scope) -> tuple[bool, ...]:
    """Per token, whether an adapter of this ``scope`` applies.

    Raises:
        ScopeError: scope ``suffix`` without a context segment.
    """
    first = shared_context(segments) if scope is Scope.SUFFIX else 0
    mask: list[bool] = []
    for segment in segments:
        applies = scope is Scope.ALL or not segment.role.written_by_model
        start = len(mask)
        mask.extend(applies and start + i >= first for i in range(len(segment)))
    return tuple(mask)


def lay_out(segments: Sequence[TokenSegment], scope: Scope, virtual_tokens: int = 0) -> Layout:
    """Concatenate ``segments`` and insert the adapter's ``virtual_tokens``.

    Virtual tokens enter at position 0, or with scope ``suffix`` right after the shared context, so
    that the context before them is what the base alone writes.

    Raises:
        ScopeError: scope ``suffix`` without a context segment.
    """
    ids = [token for segment in segments for token in segment.ids]
    written = [segment.role.written_by_model for segment in segments for _ in segment.ids]
    routed = list(scope_mask(segments, scope))
    virtual = [-1] * len(ids)
    entry = shared_context(segments) if virtual_tokens and scope is Scope.SUFFIX else 0
    ids[entry:entry] = [PLACEHOLDER_ID] * virtual_tokens
    written[entry:entry] = [False] * virtual_tokens
    routed[entry:entry] = [True] * virtual_tokens
    virtual[entry:entry] = range(virtual_tokens)
    return Layout(tuple(ids), tuple(routed), tuple(virtual), tuple(written))
