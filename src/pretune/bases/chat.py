"""Turns to token segments under a base's chat template, and generated ids back to text.

The template is rendered once with a sentinel in the place of each turn's text, and the result is
cut at the sentinels. So a template cannot trim or rewrite a text, its own words (glue) are told
from the user's, and no text of a user can become a special token.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pretune.bases.pieces import without_added_space
from pretune.core.digest import of_json
from pretune.core.errors import BaseModelError
from pretune.core.segments import Role, Segment, TokenSegment, Turn

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] }}{{ eos_token }}"
    "{% else %}{{ message['content'] }}\n{% endif %}"
    "{% endfor %}"
)
"""For a base without a chat template: texts on lines of their own, the answer ended by EOS."""

_CHAT_ROLES = {
    Role.SYSTEM: "system",
    Role.CONTEXT: "user",
    Role.USER: "user",
    Role.ASSISTANT: "assistant",
    Role.TARGET: "assistant",
}
_SEPARATOR = "\n\n"
"""Stands between the turns that share one chat message: a context and the question about it."""


def _sentinel(index: int) -> str:
    """Stands for the text of turn ``index``; private-use characters that no template touches."""
    return f"\ue000{index}\ue001"


def _messages(turns: Sequence[Turn], roles: dict[Role, str]) -> list[dict[str, str]]:
    """Chat messages of sentinels; neighbouring turns with one chat role share a message."""
    shared = groupby(enumerate(turns), key=lambda numbered: roles[numbered[1].role])
    return [
        {"role": role, "content": _SEPARATOR.join(_sentinel(index) for index, _ in own)}
        for role, own in shared
    ]


class ChatRenderer:
    """Implements :class:`pretune.core.protocols.Renderer` on a fast ``transformers`` tokenizer."""

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        if tokenizer.eos_token_id is None:
            raise BaseModelError("the tokenizer has no end token; set eos_token in its config")
        self._tokenizer = without_added_space(tokenizer)
        # Both may stand in a tokenizer's file; how long a text may be is decided elsewhere.
        self._tokenizer.backend_tokenizer.no_truncation()
        self._tokenizer.backend_tokenizer.no_padding()
        self._template: str = tokenizer.chat_template or PLAIN_TEMPLATE
        self._context_length = context_length

    @cached_property
    def digest(self) -> str:
        """Digest of everything that decides the token ids of a prompt; asked at every load of an
        adapter, and a tokenizer's text is megabytes."""
        backend = self._tokenizer.backend_tokenizer.to_str()
        return of_json([self._template, backend, self._tokenizer.all_special_tokens, _SEPARATOR])

    @property
    def context_length(self) -> int:
        """Most tokens that a prompt and its answer may take together."""
        return self._context_length

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end an answer: EOS, and what the template itself writes after an answer."""
        last = self.encode([Segment(Role.ASSISTANT, self._end, glue=True)])[0].ids[-1:]
        return tuple(dict.fromkeys((*last, int(self._tokenizer.eos_token_id))))

    @cached_property
    def start_ids(self) -> tuple[int, ...]:
        """Ids that begin a plain text: what the tokenizer itself puts there, or a BOS token that
        the chat template begins with. A base that learned so answers worse without."""
        glue = self._tokenizer.backend_tokenizer
        plain, whole = (glue.encode("x", add_special_tokens=a).ids for a in (False, True))
        own = tuple(whole[: len(whole) - len(plain)]) if whole[-len(plain) :] == plain else ()
        bos = self._tokenizer.bos_token
        if not own and bos and self._apply([Turn(Role.USER, "x")]).startswith(bos):
            return (int(self._tokenizer.bos_token_id),)
        return own

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer as the ``tokenizers`` library writes it."""
        text: str = self._tokenizer.backend_tokenizer.to_str()
        return text

    @cached_property
    def _end(self) -> str:
        """What the template writes after an answer, up to its first special token."""
        text = self._apply([Turn(Role.USER, "x"), Turn(Role.ASSISTANT, "y")])
        rest = text.partition(_sentinel(1))[2]
        added = self._tokenizer.added_tokens_decoder.values()
        specials = {token.content for token in added if token.special}
        ends = [rest.index(token) + len(token) for token in specials if token in rest]
        return rest[: min(ends, default=len(rest))]

    def render(self, turns: Sequence[Turn]) -> tuple[Segment, ...]:
        """Cut the rendered template at the turns' sentinels.

        Glue before a text belongs to its turn, so that a context's own tokens are the same whatever
        follows it. Glue that opens an answer belongs to the turn before: the model did not write
        it. Of the glue after an answer the end token is the model's, the rest is the next turn's,
        and after the last answer there is no rest.

        An answer that is still to come is opened as one that is known: what some templates write
        there for generation (a thought to begin with) is not what training puts before an answer.
        """
        if not turns[-1].role.written_by_model:
            opened = self.render([*turns, Turn(Role.TARGET, "")])
            return tuple(segment for segment in opened if segment.role is not Role.TARGET)
        segments: list[Segment] = []
        before: Role | None = None
        text, place = self._apply(turns), 0
        for index, turn in enumerate(turns):
            sentinel = _sentinel(index)
            end = text.find(sentinel, place)
            if end < 0:
                raise BaseModelError(
                    f'the chat template drops or moves the "{turn.role}" turn; give the base '
                    "another template"
                )
            glue, place = text[place:end], end + len(sentinel)
            if before is not None and before.written_by_model:
                own = self._end_length(glue)
                segments.append(Segment(before, glue[:own], glue=True))
                glue, before = glue[own:], Role.USER
            opens = turn.role.written_by_model
            segments.append(Segment((before or Role.SYSTEM) if opens else turn.role, glue, True))
            segments.append(Segment(turn.role, turn.text))
            before = turn.role
        rest = text[place:]
        segments.append(Segment(turns[-1].role, rest[: self._end_length(rest)], glue=True))
        return tuple(segment for segment in segments if segment.text)

    def _apply(self, turns: Sequence[Turn]) -> str:
        """The template's text with sentinels for texts; a system turn that the template refuses
        joins the first user message."""
        roles = dict(_CHAT_ROLES)
        for attempt in (roles, {**roles, Role.SYSTEM: "user"}):
            try:
                text: str = self._tokenizer.apply_chat_template(
                    _messages(turns, attempt),
                    chat_template=self._template,
                    tokenize=False,
                )
            except Exception as error:  # a template is a program of others, and may break anywhere
                reason = str(error) or type(error).__name__
            else:
                return text
        raise BaseModelError(f"the chat template refuses these turns: {reason}")

    def _end_length(self, glue: str) -> int:
        """Length of what is the model's of the ``glue`` after its answer."""
        return len(self._end) if glue.startswith(self._end) else 0

    def encode(self, segments: Sequence[Segment]) -> tuple[TokenSegment, ...]:
        """Tokenise each segment by itself; special tokens are read in glue only. Threads may do so
        at once, and none holds up the others."""
        return tuple(
            TokenSegment(segment.role, self._ids(segment), segment.glue) for segment in segments
        )

    def _ids(self, segment: Segment) -> tuple[int, ...]:
        # Not through transformers, which sets up the one tokenizer anew for every text. And as a
        # batch: encode() keeps Python's lock.
        tokenizer = self._tokenizer.backend_tokenizer if segment.glue else self._without_specials
        (found,) = tokenizer.encode_batch_fast([segment.text], add_special_tokens=False)
        return tuple(found.ids)

    @cached_property
    def _without_specials(self) -> Tokenizer:
        """The same tokenizer, to which what is written like a special token is a text."""
        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        tokenizer.encode_special_tokens = True
        return tokenizer

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids`` without special tokens and outer white space."""
        return self.spell(ids).strip()

    def spell(self, ids: Sequence[int]) -> str:
        """Text of ``ids`` without special tokens, as it stands between others: white space is kept,
        and no tokenizer's tidiness ("a." for "a .") makes a text other than its pieces.
        """
        # Not through transformers, which takes three times as long; a stream asks at every token.
        text: str = self._tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def save(self, folder: Path) -> None:
        """Write the tokenizer and the chat template beside a model's weights."""
        self._tokenizer.save_pretrained(folder)
