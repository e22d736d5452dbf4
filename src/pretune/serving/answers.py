"""One prompt to its answer: through the worker, as text, with everything a response needs."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from pretune.core.protocols import Renderer
from pretune.core.records import Chosen, Completion, FinishReason, OptionScores, Request
from pretune.core.sampling import Constraint, Sampling
from pretune.engine.engine import Begun
from pretune.serving.bodies import Body, ChatBody, CompletionBody
from pretune.serving.catalogue import Asked, ServedTask
from pretune.serving.grammars import Grammars
from pretune.serving.refusal import Refused, overloaded
from pretune.serving.text import TextStream, stop_test
from pretune.serving.worker import Worker

_REASONS = {
    FinishReason.END: "stop",
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
}
"""In OpenAI's words."""

_GREEDY_ONLY = (
    "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
    "repetition_penalty", "stop", "response_format", "structured_outputs",
)  # fmt: skip
"""What makes no sense where one of a task's labels is the answer."""


class Labelled(NamedTuple):
    """The ``label`` of a task that answers with one, and the probabilities of all, by label."""

    label: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Piece:
    """New text of choice ``index`` and the tokens behind it; with the first one how it came in,
    with the last one why it ended, and the label that it was."""

    index: int
    text: str
    chosen: tuple[Chosen, ...] = ()
    reason: str | None = None
    begun: Begun | None = None
    labelled: Labelled | None = None


@dataclass
class Answer:
    """What came of choice ``index``."""

    index: int
    text: str = ""
    chosen: list[Chosen] = field(default_factory=list)
    reason: str | None = None
    labelled: Labelled | None = None


Items = AsyncGenerator[Piece | Answer, None]
"""What is answered, as it comes; who closes it cancels the rest."""


class Terms(NamedTuple):
    """On which terms a client is served: the ``salt`` of its part of the cache, the ``weight`` of
    the task that it asks, ``until`` when it waits (by the event loop's clock), and what its answers
    must look like."""

    salt: str
    weight: float
    until: float | None = None
    constraint: Constraint | None = None


class Answerer:
    """Answers prompts of one catalogue; ``longest`` is the most tokens of prompt and answer."""

    def __init__(
        self, worker: Worker, renderer: Renderer, grammars: Grammars, longest: int
    ) -> None:
        self._worker = worker
        self._renderer = renderer
        self._grammars = grammars
        self._longest = longest

    async def stream(
        self,
        task: ServedTask,
        body: ChatBody | CompletionBody,
        asked: Sequence[Asked],
        terms: Terms,
    ) -> Items:
        """Pieces of ``n`` choices a prompt as they come, and each choice's :class:`Answer` when it
        ended. Leaving early cancels all of them.

        Raises:
            Refused: what makes no sense for the task, no room, or a fault of one of the choices.
            TimeoutError: the time that the terms leave is over.
        """
        choices = [one for one in asked for _ in range(body.n)]
        for one in asked:
            self._check(task, body, one)
        if body.wanted is not None:
            async with asyncio.timeout_at(terms.until):
                constraint = await self._grammars.constraint(body.wanted, terms.salt)
            terms = terms._replace(constraint=constraint)
        parts = [self._choice(task, body, one, i, terms) for i, one in enumerate(choices)]
        async with aclosing(parts[0] if len(parts) == 1 else _merged(parts)) as items:
            async for item in items:
                yield item

    def _check(self, task: ServedTask, body: ChatBody | CompletionBody, asked: Asked) -> None:
        length = sum(map(len, asked.segments))
        if not length:
            raise Refused("the prompt is empty; ask something", param="prompt")
        if asked.options is not None:
            given = [name for name in _GREEDY_ONLY if getattr(body, name)]
            given += ["logprobs"] if body.alternatives is not None else []
            for name in given:
                if name in body.model_fields_set:
                    raise Refused(
                        f'task "{task.name}" answers with one of its labels, which leaves nothing '
                        f'for "{name}" to change; leave it out',
                        param=name,
                    )
            if body.n > 1:
                raise Refused(f'task "{task.name}" has one answer a prompt; leave n out', param="n")
            return
        wanted = length + self._most(task, body)
        if wanted > self._longest:
            raise Refused(
                f"{length} tokens of prompt and {wanted - length} of answer are {wanted}; prompt "
                f"and answer together have room for {self._longest}",
                param="max_tokens",
            )

    @staticmethod
    def _most(task: ServedTask, body: Body) -> int:
        asked = body.most_tokens  # type: ignore[attr-defined]
        if asked is not None:
            return int(asked)
        return task.spec.generate.max_new_tokens if task.spec else 128

    def _request(
        self,
        task: ServedTask,
        body: ChatBody | CompletionBody,
        asked: Asked,
        index: int,
        terms: Terms,
    ) -> Request:
        stop: Callable[[Sequence[int]], bool] | None = None
        if body.stops:
            stop = stop_test(self._renderer.decode, body.stops)
        sampling = Sampling(
            temperature=body.temperature,
            top_p=body.top_p,
            top_k=body.top_k,
            min_p=body.min_p,
            repetition_penalty=body.repetition_penalty,
            presence_penalty=body.presence_penalty,
            frequency_penalty=body.frequency_penalty,
            seed=None if body.seed is None else body.seed + index,
            logprobs=body.alternatives,
            stop=stop,
            constraint=terms.constraint,
        )
        return Request(
            uuid4().hex,
            asked.segments,
            task.adapter,
            self._most(task, body),
            sampling,
            task.name,
            terms.weight,
            terms.salt,
        )

    async def _choice(
        self,
        task: ServedTask,
        body: ChatBody | CompletionBody,
        asked: Asked,
        index: int,
        terms: Terms,
    ) -> Items:
        text, answer = TextStream(self._renderer.spell, body.stops), Answer(index)
        request = self._request(task, body, asked, index, terms)
        async with aclosing(self._worker.run(request, asked.options, terms.until)) as outputs:
            async for output in outputs:
                if output.scores is not None:
                    _label(task, output.scores, answer)
                    yield Piece(index, answer.text, begun=output.begun)
                answer.chosen += output.new
                piece = text.add([chosen.token for chosen in output.new])
                if output.done is not None:
                    answer.reason = _reason(output.done, body)
                    piece += text.close()
                    answer.text = text.text
                if piece or output.new or (output.begun and output.scores is None):
                    yield Piece(index, piece, output.new, begun=output.begun)
        yield Piece(index, "", reason=answer.reason, labelled=answer.labelled)
        yield answer


async def _merged(parts: Sequence[Items]) -> Items:
    """Items of all ``parts`` as they come; the first error ends all of them."""
    queue: asyncio.Queue[Piece | Answer | BaseException] = asyncio.Queue()

    async def follow(part: Items) -> None:
        try:
            async for item in part:
                queue.put_nowait(item)
        except BaseException as error:
            queue.put_nowait(error)

    # Not a task group: the generator may be closed by another task than the one that reads it.
    following = [asyncio.create_task(follow(part)) for part in parts]
    try:
        left = len(parts)
        while left:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            left -= isinstance(item, Answer)
            yield item
    finally:
        for one in following:
            one.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def _reason(done: Completion, body: Body) -> str:
    if done.error is not None and done.reason is FinishReason.REFUSED:
        # What is about a field begins with its name.
        first = done.error.partition(" ")[0]
        param = first if first in type(body).model_fields else None
        raise Refused(done.error, param=param)
    if done.error is not None:
        raise Refused(done.error, 500, kind="server_error")
    if done.reason not in _REASONS:
        raise overloaded("the request was given up: the server is stopping; ask another one", 503)
    return _REASONS[done.reason]


def _label(task: ServedTask, scores: OptionScores, answer: Answer) -> None:
    labels = list(task.labels)
    top = scores.log_probs[scores.best]
    weights = [math.exp(score - top) for score in scores.log_probs]
    by_label = {label: w / sum(weights) for label, w in zip(labels, weights, strict=True)}
    answer.labelled = Labelled(labels[scores.best], by_label)
    answer.text = task.labels[answer.labelled.label]
    answer.reason = "stop"
