"""OpenAI's forms of an answer: chat and plain, whole and in pieces."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from pretune.core.records import Chosen
from pretune.serving.answers import Answer, Piece
from pretune.serving.text import BROKEN, Decode


class Form(ABC):
    """What tells chat responses from plain ones: their names, and where the text stands."""

    prefix: ClassVar[str]
    whole: ClassVar[str]
    part: ClassVar[str]

    def __init__(self, spell: Decode, *, log_probs: bool) -> None:
        self._spell = spell
        self._wanted = log_probs

    def choice(self, answer: Answer) -> dict[str, Any]:
        """A choice of a whole response; with ``label`` and ``scores`` where labels answer."""
        return {
            "index": answer.index,
            **self._said(answer.text),
            "logprobs": self._log_probs(answer.chosen),
            "finish_reason": answer.reason,
            **_labelled(answer),
        }

    def piece(self, piece: Piece) -> dict[str, Any]:
        """A choice of a stream's event; the last one says what the whole response would."""
        return {
            "index": piece.index,
            **self._added(piece),
            "logprobs": self._log_probs(piece.chosen),
            "finish_reason": piece.reason,
            **_labelled(piece),
        }

    def _log_probs(self, chosen: Sequence[Chosen]) -> dict[str, Any] | None:
        return self._listed(chosen) if self._wanted and chosen else None

    @abstractmethod
    def _said(self, text: str) -> dict[str, Any]: ...

    @abstractmethod
    def _added(self, piece: Piece) -> dict[str, Any]: ...

    @abstractmethod
    def _listed(self, chosen: Sequence[Chosen]) -> dict[str, Any]: ...


class Chat(Form):
    """``/v1/chat/completions``."""

    prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def _said(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}}

    def _added(self, piece: Piece) -> dict[str, Any]:
        return {"delta": {} if piece.reason else {"role": "assistant", "content": piece.text}}

    def _listed(self, chosen: Sequence[Chosen]) -> dict[str, Any]:
        return {
            "content": [
                {
                    **self._token(one.token, one.log_prob),
                    "top_logprobs": [self._token(*other) for other in one.top],
                }
                for one in chosen
            ]
        }

    def _token(self, token: int, log_prob: float) -> dict[str, Any]:
        text = self._spell([token])
        # A part of a character: those who put bytes together must not get the stand-in's.
        whole = list(text.encode()) if BROKEN not in text else None
        return {"token": text, "logprob": log_prob, "bytes": whole}


class Text(Form):
    """``/v1/completions``."""

    prefix, whole, part = "cmpl", "text_completion", "text_completion"

    def _said(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _added(self, piece: Piece) -> dict[str, Any]:
        return {"text": piece.text}

    def _listed(self, chosen: Sequence[Chosen]) -> dict[str, Any]:
        return {
            "tokens": [self._spell([one.token]) for one in chosen],
            "token_logprobs": [one.log_prob for one in chosen],
            "top_logprobs": [self._by_text(one.top) for one in chosen],
        }

    def _by_text(self, top: Sequence[tuple[int, float]]) -> dict[str, float]:
        """The best of the tokens of each text: parts of characters are all written alike."""
        found: dict[str, float] = {}
        for token, log_prob in top:
            found.setdefault(self._spell([token]), log_prob)
        return found


def _labelled(said: Answer | Piece) -> dict[str, Any]:
    return {} if said.labelled is None else said.labelled._asdict()
