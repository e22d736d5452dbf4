"""What is served under which name, and how a client's words become a prompt of that task."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from pretune.core.digest import SHORT
from pretune.core.errors import BaseModelError
from pretune.core.names import nearest
from pretune.core.protocols import Renderer
from pretune.core.records import Row
from pretune.core.scope import Scope
from pretune.core.segments import Role, Segment, TokenSegment, Turn
from pretune.data.dataset import option_ids, prompt_of
from pretune.data.rejected import Rejected
from pretune.registry.state import place
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


REPAIR_SECONDS = 10
"""Until a closed task is worth asking again: its operator has to do something first."""

Options = Sequence[tuple[int, ...]]
"""Token ids of each of a task's labels."""


class Asked(NamedTuple):
    """A prompt, and ``options`` (token ids) if one of the task's labels is the answer."""

    segments: tuple[TokenSegment, ...]
    options: Options | None


@dataclass(frozen=True, eq=False)
class ServedTask:
    """A task, or with neither spec nor adapter the bare base. ``adapter`` is a digest, ``version``
    too; a task that comes from a run's folder has no version."""

    name: str
    spec: TaskSpec | None = None
    adapter: str | None = None
    version: str | None = None

    @property
    def short(self) -> str:
        """The version as people and metrics are shown it; empty where there is none."""
        return (self.version or "")[:SHORT]

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


@dataclass(frozen=True)
class Rollout:
    """A task's versions by digest; ``canary`` answers ``share`` of the requests for the task,
    ``shadow`` is asked as well."""

    versions: Mapping[str, ServedTask]
    canary: ServedTask | None = None
    share: float = 0.0
    shadow: ServedTask | None = None


class Catalogue:
    """Tasks by name. Immutable: what changes is which catalogue is served.

    ``rollouts`` are those of tasks with versions; ``closed`` names tasks that cannot be served;
    ``known`` are label options worked out before.
    """

    def __init__(
        self,
        renderer: Renderer,
        vocabulary: int,
        tasks: Iterable[ServedTask],
        rollouts: Mapping[str, Rollout] = MappingProxyType({}),
        closed: Collection[str] = (),
        *,
        known: Mapping[ServedTask, Options] = MappingProxyType({}),
    ) -> None:
        self._renderer = renderer
        self._vocabulary = vocabulary
        self._tasks = {task.name: task for task in tasks}
        self._rollouts = dict(rollouts)
        self._closed = frozenset(closed)
        self._options: dict[ServedTask, Options] = {
            task: known[task] if task in known else option_ids(task.spec, renderer)
            for task in self.versions
            if task.spec is not None and task.labels
        }

    def replaced(
        self,
        tasks: Iterable[ServedTask],
        rollouts: Mapping[str, Rollout],
        closed: Collection[str],
    ) -> "Catalogue":
        """Another catalogue for the same base."""
        return Catalogue(
            self._renderer, self._vocabulary, tasks, rollouts, closed, known=self._options
        )

    def __iter__(self) -> Iterator[ServedTask]:
        return iter(self._tasks.values())

    @property
    def versions(self) -> frozenset[ServedTask]:
        """All that can be asked, by whatever name."""
        others = (one for rollout in self._rollouts.values() for one in rollout.versions.values())
        return frozenset((*self._tasks.values(), *others))

    def __getitem__(self, model: str) -> ServedTask:
        if model in self._tasks:
            return self._tasks[model]
        name, at, prefix = model.partition("@")
        if name in self._closed:
            raise Refused(
                f'task "{name}" cannot be served now; its operator finds the reason under '
                "GET /v1/tasks",
                503,
                kind="server_error",
                retry_after=REPAIR_SECONDS,
            )
        if at and name in self._rollouts:
            return self._version(name, prefix)
        guess = nearest(name, self._tasks)
        hint = f'did you mean "{guess}"?' if guess else "GET /v1/models lists them"
        raise Refused(f'no model "{model[:64]}" is served here; {hint}', 404, param="model")

    def choose(self, model: str, key: Callable[[], str]) -> ServedTask:
        """Who answers a request for ``model``: for a task's plain name its canary or its current
        version, told by the request's ``key``; ``task@digest`` is that version."""
        rollout = self._rollouts.get(model)
        if rollout is not None and rollout.canary is not None:
            canary = rollout.canary
            assert canary.version is not None
            if place(model, canary.version, key()) < rollout.share:
                return canary
        return self[model]

    def shadow_of(self, task: ServedTask) -> ServedTask | None:
        """The version that is asked whatever the current version ``task`` is asked."""
        rollout = self._rollouts.get(task.name)
        return rollout.shadow if rollout and self._tasks.get(task.name) is task else None

    def _version(self, name: str, prefix: str) -> ServedTask:
        found = [
            one
            for digest, one in self._rollouts[name].versions.items()
            if prefix and digest.startswith(prefix)
        ]
        if len(found) != 1:
            listed = ", ".join(one.short for one in self._rollouts[name].versions.values())
            several = "names several versions" if found else "is no version"
            raise Refused(
                f'"{prefix[:64]}" {several} of task "{name}"; known: {listed}', 404, param="model"
            )
        return found[0]

    def asked(self, task: ServedTask, body: ChatBody | CompletionBody) -> list[Asked]:
        """The prompts of a request of either kind."""
        if isinstance(body, ChatBody):
            return [self.chat(task, body)]
        return self.completion(task, body)

    def chat(self, task: ServedTask, body: ChatBody) -> Asked:
        """The prompt of a chat request.

        ``fields`` fill the task's template. A single user message fills it too, where the template
        takes one column: so a plain client needs to know nothing of the template. Any other
        messages are a conversation and stand for themselves.
        """
        fields = body.fields
        if fields is None and self._is_plain_question(task, body.messages):
            fields = {task.columns[0]: body.messages[0].text}
        try:
            if fields is not None:
                return self._filled(task, fields)
            return Asked(_with_context(task, self._encoded(body.messages)), None)
        except BaseModelError as error:  # many templates want roles to take turns
            raise Refused(str(error), param="messages") from error

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
        return Asked(_with_context(task, prompt.prompt), self._options.get(task))

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
