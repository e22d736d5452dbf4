"""What is served under which name, and how a client's words become a prompt of that task."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from pretune.core.names import nearest
from pretune.core.protocols import Renderer
from pretune.core.records import Row
from pretune.core.scope import Scope
from pretune.core.segments import Role, Segment, TokenSegment, Turn
from pretune.data.dataset import option_ids, prompt_of
from pretune.data.rejected import Rejected
from pretune.serving.bodies import MOST_PROMPTS, ChatBody, CompletionBody, Message
from pretune.serving.refusal import Refused
from pretune.spec.task import TaskSpec
from pretune.spec.template import columns_of

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "context": Role.CONTEXT,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}


class Asked(NamedTuple):
    """A prompt, and ``options`` (token ids) if one of the task's labels is the answer."""

    segments: tuple[TokenSegment, ...]
    options: Sequence[tuple[int, ...]] | None


@dataclass(frozen=True, eq=False)
class ServedTask:
    """A task, or with neither spec nor adapter the bare base. ``adapter`` is a digest."""

    name: str
    spec: TaskSpec | None = None
    adapter: str | None = None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns that the task's prompt is made from."""
        if self.spec is None:
            return ()
        template = self.spec.template
        if template.messages is not None:
            return (template.messages,)
        texts = (template.system, template.context, template.user)
        return tuple(dict.fromkeys(name for text in texts if text for name in columns_of(text)))

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """Labels and their words; empty for a task that writes freely."""
        return (self.spec.labels if self.spec else None) or {}


class Catalogue:
    """Tasks by name. Immutable: what changes is which catalogue is served."""

    def __init__(self, renderer: Renderer, vocabulary: int, tasks: Iterable[ServedTask]) -> None:
        self._renderer = renderer
        self._vocabulary = vocabulary
        self._tasks = {task.name: task for task in tasks}
        self._options = {
            task.name: option_ids(task.spec, renderer)
            for task in self._tasks.values()
            if task.spec is not None and task.labels
        }

    def __iter__(self) -> Iterator[ServedTask]:
        return iter(self._tasks.values())

    def __getitem__(self, name: str) -> ServedTask:
        if name not in self._tasks:
            guess = nearest(name, self._tasks)
            hint = f'did you mean "{guess}"?' if guess else "GET /v1/models lists them"
            raise Refused(f'no model "{name[:64]}" is served here; {hint}', 404, param="model")
        return self._tasks[name]

    def chat(self, task: ServedTask, body: ChatBody) -> Asked:
        """The prompt of a chat request.

        ``fields`` fill the task's template. A single user message fills it too, where the template
        takes one column: so a plain client needs to know nothing of the template. Any other
        messages are a conversation and stand for themselves.
        """
        fields = body.fields
        if fields is None and self._is_plain_question(task, body.messages):
            fields = {task.columns[0]: body.messages[0].text}
        if fields is not None:
            return self._filled(task, fields)
        return Asked(_with_context(task, self._encoded(body.messages)), None)

    def completion(self, task: ServedTask, body: CompletionBody) -> list[Asked]:
        """The prompts of a completion request: for a task the value of its template's only column,
        for the base a text as it is, behind what begins a text."""
        given = body.prompt
        if not given:
            raise Refused("prompt is empty; give a text", param="prompt")
        if isinstance(given, str):
            return [self._text(task, given)]
        texts = [one for one in given if isinstance(one, str)]
        if len(texts) > MOST_PROMPTS:
            raise Refused(
                f"{len(texts)} prompts at once; send {MOST_PROMPTS} at most", param="prompt"
            )
        if texts:
            return [self._text(task, one) for one in texts]
        return [self._tokens(task, [one for one in given if isinstance(one, int)])]

    def _text(self, task: ServedTask, prompt: str) -> Asked:
        if task.spec is not None:
            return self._filled(task, {self._only_column(task): prompt})
        start = TokenSegment(Role.USER, self._renderer.start_ids, glue=True)
        return Asked((start, *self._renderer.encode((Segment(Role.USER, prompt),))), None)

    def _tokens(self, task: ServedTask, prompt: list[int]) -> Asked:
        if task.spec is not None:
            raise Refused(
                "a task takes text, not token ids: its template says more", param="prompt"
            )
        if not all(0 <= token < self._vocabulary for token in prompt):
            raise Refused(f"a token id is not from 0 to {self._vocabulary - 1}", param="prompt")
        return Asked((TokenSegment(Role.USER, tuple(prompt)),), None)

    def _only_column(self, task: ServedTask) -> str:
        if len(task.columns) != 1 or self._takes_messages(task):
            listed = ", ".join(f'"{name}"' for name in task.columns)
            raise Refused(
                f'task "{task.name}" is asked with {listed}; use /v1/chat/completions and "fields"',
                param="prompt",
            )
        return task.columns[0]

    @staticmethod
    def _takes_messages(task: ServedTask) -> bool:
        return task.spec is not None and task.spec.template.messages is not None

    def _is_plain_question(self, task: ServedTask, messages: Sequence[Message]) -> bool:
        alone = len(messages) == 1 and messages[0].role == "user"
        return alone and len(task.columns) == 1 and not self._takes_messages(task)

    def _filled(self, task: ServedTask, fields: Mapping[str, Any]) -> Asked:
        if task.spec is None:
            raise Refused(
                f'"{task.name}" is the bare base and has no template to fill; send messages',
                param="fields",
            )
        prompt = prompt_of(task.spec, self._renderer, Row("request", fields))
        if isinstance(prompt, Rejected):
            raise Refused(prompt.detail, param="fields")
        return Asked(_with_context(task, prompt.prompt), self._options.get(task.name))

    def _encoded(self, messages: Sequence[Message]) -> tuple[TokenSegment, ...]:
        turns = [Turn(_ROLES[message.role], message.text) for message in messages]
        return self._renderer.encode(self._renderer.render(turns))


def _with_context(task: ServedTask, prompt: tuple[TokenSegment, ...]) -> tuple[TokenSegment, ...]:
    """``prompt``, unless it lacks the context that the task's scope begins after."""
    suffix = task.spec is not None and task.spec.scope is Scope.SUFFIX
    if suffix and not any(segment.role is Role.CONTEXT for segment in prompt):
        raise Refused(
            f'task "{task.name}" answers from a context, and there is none; send a message of the '
            'role "context" before what is asked',
            param="messages",
        )
    return prompt
