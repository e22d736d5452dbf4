"""The task file: everything that pretune is told about a task, in one model."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from pretune.core import digest
from pretune.core.errors import ScopeError
from pretune.core.names import is_task_name
from pretune.core.scope import Scope
from pretune.spec.base import BaseSpec
from pretune.spec.data import DataSpec, HubSource
from pretune.spec.goals import Goal, check_compatible
from pretune.spec.labels import label_words
from pretune.spec.methods import AnyMethod, FullConfig, LoraConfig
from pretune.spec.model import Strict
from pretune.spec.problems import spec_error
from pretune.spec.task_teacher import TaskTeacher
from pretune.spec.template import TemplateSpec, columns_of
from pretune.spec.training import TrainSpec
from pretune.spec.yamlfile import read_mapping


class Kind(StrEnum):
    """What a task asks of the model, told by its template and labels."""

    CLASSIFICATION = "classification"
    GENERATION = "generation"
    CHAT = "chat"


class GenerateSpec(Strict):
    """How answers are generated (greedily)."""

    max_new_tokens: int = Field(
        64, ge=1, description="most tokens of an answer, end token included"
    )


def default_metrics(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Metrics of a task that names none, told by its ``labels``."""
    return ("accuracy", "macro_f1") if given.get("labels") else ("exact_match", "rouge_l")


def default_scope(given: Mapping[str, Any]) -> Scope:
    """Scope of a task that names none, told by its ``method``."""
    return Scope.ALL if isinstance(given.get("method"), FullConfig) else Scope.PROMPT


class TaskSpec(Strict):
    """One task: what it learns from, how it asks, and what it promises."""

    name: str = Field(
        min_length=1,
        max_length=64,
        description="what requests call the task; default: the file's name",
    )
    base: BaseSpec = Field(BaseSpec(), description="the frozen model; a bare string is its name")
    data: DataSpec = Field(description="where rows come from")
    template: TemplateSpec = Field(description="how a row becomes a prompt and an answer")
    labels: dict[str, str] | None = Field(
        None,
        description="closed set of answers: a list, or {label: words}; "
        "default words: the label with spaces for underscores",
    )
    label_field: str = Field("label", min_length=1, description="column that holds the label")
    references_field: str = Field(
        "references", min_length=1, description="optional column that lists every right answer"
    )
    metrics: tuple[str, ...] = Field(
        default_factory=default_metrics,
        min_length=1,
        description="what is measured; early stopping watches the first; default: accuracy and "
        "macro_f1 with labels, else exact_match and rouge_l",
    )
    goals: tuple[Goal, ...] = Field(
        (),
        description='checked promises: "macro_f1 >= 0.85", "p99_latency_ms < 500 at 20 rps", '
        '"accuracy > 0.9 where lang = zh", or {need: ..., goal: ...}',
    )
    method: AnyMethod = Field(
        LoraConfig(), description="how the adapter computes; a bare string is its name"
    )
    scope: Scope = Field(
        default_factory=default_scope,
        description="positions that the adapter touches: prompt, suffix or all; "
        "default: prompt, and all for method full",
    )
    teacher: TaskTeacher | None = Field(
        None, description="whose answers, or probabilities, the task learns from"
    )
    begin_with: Path | None = Field(
        None,
        description="folder of a run or of an adapter of the same base, method and scope, whose "
        "weights training begins with; default: the method's own start",
    )
    train: TrainSpec = Field(TrainSpec(), description="how the adapter is trained")
    generate: GenerateSpec = Field(GenerateSpec(), description="how answers are generated")

    @field_validator("name")
    @classmethod
    def _usable_as_a_model_name(cls, value: str) -> str:
        if not is_task_name(value):
            raise ValueError(
                f'name "{value}" may hold letters, digits, "-", "_" and "." only, '
                "and begins with a letter or digit"
            )
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _read_labels(cls, value: Any) -> Any:
        return None if value is None else label_words(value)

    @field_validator("method", mode="before")
    @classmethod
    def _method_from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("begin_with")
    @classmethod
    def _beside_the_task(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        folder: Path | None = (info.context or {}).get("folder")
        return value if value is None or folder is None else folder / value

    @field_validator("metrics", "goals", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("goals")
    @classmethod
    def _goals_agree(cls, value: tuple[Goal, ...]) -> tuple[Goal, ...]:
        check_compatible(value)
        return value

    @model_validator(mode="after")
    def _labels_fit_the_template(self) -> Self:
        if self.labels is None:
            return self
        if self.template.messages is not None:
            raise ValueError(
                'labels need a "target:" segment and "messages" has none; '
                "remove labels, or write the template as segments"
            )
        columns = columns_of(self.template.target or "")
        if columns != (self.label_field,):
            named = ", ".join(f'"{{{column}}}"' for column in columns)
            raise ValueError(
                f'with labels the target may name the label column "{{{self.label_field}}}" only, '
                f"and it names {named}; change the target, or set label_field"
            )
        return self

    @model_validator(mode="after")
    def _scope_makes_sense(self) -> Self:
        self.method.check_scope(self.scope)
        template = self.template
        if self.scope is Scope.SUFFIX and template.messages is None and template.context is None:
            raise ScopeError(
                'scope "suffix" adapts what follows the shared context, and the template has no '
                '"context:"; add one, or use scope "prompt"'
            )
        return self

    @property
    def kind(self) -> Kind:
        """Classification by label scoring, generation, or multi-turn chat."""
        if self.template.messages is not None:
            return Kind.CHAT
        return Kind.GENERATION if self.labels is None else Kind.CLASSIFICATION

    def digest(self) -> str:
        """Digest of what the task says. Of data files only the names count: where a folder lies
        changes nothing, and the rows have a digest of their own."""
        value = self.model_dump(mode="json")
        for split in ("train", "validation", "test"):
            value["data"][split] = [
                source.model_dump() if isinstance(source, HubSource) else source.name
                for source in getattr(self.data, split) or ()
            ]
        # A task that has none is called what it was before there were any.
        if self.begin_with is None:
            del value["begin_with"]
        else:
            value["begin_with"] = self.begin_with.name
        if self.teacher is None:
            del value["teacher"]
        else:
            for key in ("adapter", "soft"):
                path = getattr(self.teacher, key)
                value["teacher"][key] = path and path.name
        if self.train.privacy is None:
            del value["train"]["privacy"]  # likewise
        return digest.of_json(value)


def parse_task(
    value: Mapping[str, Any], *, name: str | None = None, folder: Path | None = None
) -> TaskSpec:
    """The task that ``value`` says, as read from YAML.

    ``name`` is used where ``value`` gives none; relative data paths, and a base that begins with a
    dot, are taken from ``folder``.

    Raises:
        SpecError: every problem found, each as ``where: message``.
    """
    given = dict(value)
    if name is not None:
        given.setdefault("name", name)
    try:
        task = TaskSpec.model_validate(given, context={"folder": folder})
    except ValidationError as error:
        raise spec_error(error, f'task "{given.get("name", "")}"') from error
    return task if folder is None else _placed(task, folder)


def _placed(task: TaskSpec, folder: Path) -> TaskSpec:
    """``task`` with its bases found from ``folder``."""
    teacher = task.teacher
    if teacher is not None and teacher.base is not None:
        teacher = teacher.model_copy(update={"base": teacher.base.placed(folder)})
    return task.model_copy(update={"base": task.base.placed(folder), "teacher": teacher})


def load_task(path: str | Path) -> TaskSpec:
    """Read the task file ``path``; its name is the default name of the task.

    Raises:
        SpecError: a missing, unreadable or broken file, or any problem with what it says.
    """
    path = Path(path)
    return parse_task(read_mapping(path), name=path.stem, folder=path.parent)
