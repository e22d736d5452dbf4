"""Examples to tokens, within the room that the base's context leaves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pretune.core.protocols import Renderer
from pretune.core.records import Example, TokenExample, total_tokens
from pretune.core.segments import Role, TokenSegment
from pretune.data.rejected import Reason, Rejected, reject


class Fitted(NamedTuple):
    """Segments after truncation, and how many tokens were ``cut``."""

    segments: tuple[TokenSegment, ...]
    cut: int


class Tokenized(NamedTuple):
    """A tokenised example, and how many tokens of its context were ``cut``."""

    example: TokenExample
    cut: int


def fit(segments: Sequence[TokenSegment], room: int) -> Fitted:
    """Shorten ``segments`` towards ``room`` tokens, from the end of the last context backwards.

    Only the text of context segments is cut: never an instruction, a question, an answer, or the
    template's own tokens. So the result may still be longer than ``room``.
    """
    excess = max(0, total_tokens(segments) - room)
    kept: list[TokenSegment] = []
    cut = 0
    for segment in reversed(segments):
        if segment.role is Role.CONTEXT and not segment.glue:
            take = min(excess - cut, len(segment))
            cut += take
            segment = replace(segment, ids=segment.ids[: len(segment) - take])
        kept.append(segment)
    return Fitted(tuple(reversed(kept)), cut)


def tokenize(
    example: Example, renderer: Renderer, limit: int, answer_room: int = 0
) -> Tokenized | Rejected:
    """``example`` in at most ``limit`` tokens, prompt and answer together.

    ``answer_room`` is what must be left for an answer that is still to be generated; the example's
    own answer always has its room.
    """
    segments = renderer.encode(renderer.render(example.turns))
    whole = TokenExample(
        example.row_id, segments, example.label, example.references, example.content
    )
    answer = segments[len(whole.prompt) :]
    if answer and not any(segment.ids for segment in answer if not segment.glue):
        return reject(example, Reason.EMPTY_TARGET, "the answer has no tokens")
    room = limit - max(answer_room, total_tokens(answer))
    fitted = fit(whole.prompt, room)
    length = total_tokens(fitted.segments)
    if length > room:
        counts = f"{length} tokens, room for {max(room, 0)}"
        return reject(example, Reason.TOO_LONG, f"prompt longer than the context: {counts}")
    return Tokenized(replace(whole, segments=(*fitted.segments, *answer)), fitted.cut)
