"""What clients may send. A field is honoured or refused by name."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from pretune.core.names import unknown
from pretune.core.sampling import MOST_LOGPROBS
from pretune.serving.refusal import Refused

MOST_NAME = 256
"""Characters of a model's name."""
MOST_CHOICES = 16
MOST_PROMPTS = 16
MOST_FIELDS = 1024
"""Columns of a row: where one is missing, the nearest of them is looked for."""
MOST_STOPS = 4
MOST_STOP = 256
"""Characters of a stop text: each is looked for after every token."""
MOST_SCHEMA = 2**16
"""Characters of a schema."""
MOST_REGEX = 2**12
"""Characters of a regular expression."""

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")

Listed = Annotated[list[T], Field(fail_fast=True)]
"""Looked at up to the first mistake: a body has room for two million, and each took a kilobyte."""

StopTexts = str | Listed[str]


class Body(BaseModel):
    """What both ways of asking share; sampling is greedy unless ``temperature`` says otherwise."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: str = Field(min_length=1, max_length=MOST_NAME)
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, le=2**31)
    min_p: float = Field(0.0, ge=0, le=1)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: StopTexts | None = None
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    stream: bool = False
    stream_options: "StreamOptions | None" = None
    timeout: float | None = Field(None, gt=0, le=3600)
    response_format: "ResponseFormat | None" = None
    structured_outputs: "StructuredOutputs | None" = None
    cache_salt: str | None = Field(None, min_length=1, max_length=256)
    _size: int = PrivateAttr(0)

    @property
    def size(self) -> int:
        """Bytes that it came in."""
        return self._size

    @property
    def wanted(self) -> "Wanted | None":
        """What the answer must look like, if that is said."""
        if self.structured_outputs is not None:
            return Wanted("structured_outputs", regex=self.structured_outputs.regex)
        schema = self.response_format and self.response_format.text
        return Wanted("response_format", schema=schema) if schema else None

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop texts."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @model_validator(mode="after")
    def _stops_are_texts(self) -> Self:
        sizes = [len(stop) for stop in self.stops]
        if len(sizes) > MOST_STOPS or not all(0 < size <= MOST_STOP for size in sizes):
            raise ValueError(
                f"stop takes 1 to {MOST_STOPS} texts of 1 to {MOST_STOP} characters each"
            )
        if self.stream_options is not None and not self.stream:
            raise ValueError('stream_options makes sense with "stream": true only')
        if self.response_format is not None and self.structured_outputs is not None:
            raise ValueError(
                "response_format and structured_outputs both say what the answer must look like; "
                "give one"
            )
        return self


class StreamOptions(BaseModel):
    """``include_usage``: a last event with the token counts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False


class JsonSchema(BaseModel):
    """A schema with a name. Answers follow it whether or not it is called ``strict``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(None, max_length=64)
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """``text``: anything; ``json_object``: any object; ``json_schema``: what the schema says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_where_named(self) -> Self:
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise ValueError('"json_schema" goes with "type": "json_schema", and only there')
        if len(self.text or "") > MOST_SCHEMA:
            raise ValueError(f"the schema has more than {MOST_SCHEMA} characters")
        return self

    @property
    def text(self) -> str | None:
        """The schema as JSON, its keys in the order given: that is the order of an answer's."""
        if self.json_schema is not None:
            return json.dumps(self.json_schema.schema_)
        return '{"type": "object"}' if self.type == "json_object" else None


class StructuredOutputs(BaseModel):
    """vLLM's field, of which a regular expression is honoured: the whole answer matches it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    regex: str = Field(min_length=1, max_length=MOST_REGEX)


class Wanted(NamedTuple):
    """A schema (JSON) or a regular expression that came in the field ``param``."""

    param: str
    schema: str = ""
    regex: str | None = None


class TextPart(BaseModel):
    """A piece of a message; text is all that a language model reads."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn. ``context`` is material to answer from, shared by tasks of scope ``suffix``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "context", "user", "assistant"]
    content: str | Listed[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class ChatBody(Body):
    """``POST /v1/chat/completions``. ``fields`` are the columns of a task's template, instead of
    messages."""

    messages: Listed[Message] = Field(default_factory=list, max_length=1024)
    fields: dict[str, Any] | None = Field(None, max_length=MOST_FIELDS)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> Self:
        if bool(self.messages) == (self.fields is not None):
            raise ValueError("give messages, or the fields of the task's template; one of the two")
        if self.messages and self.messages[-1].role == "assistant":
            raise ValueError("the last message is the assistant's; end with what is asked")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError('top_logprobs makes sense with "logprobs": true only')
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens mean the same; give one")
        return self

    @property
    def answers(self) -> int:
        """Answers asked for."""
        return self.n

    @property
    def most_tokens(self) -> int | None:
        """Most tokens to generate, under either name."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """Log-probabilities wanted beside the chosen token's; ``None``: not even that."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionBody(Body):
    """``POST /v1/completions``: a text (or token ids) to go on from."""

    prompt: str | Listed[int] | Listed[str]
    logprobs: int | None = Field(None, ge=0, le=5)

    @property
    def answers(self) -> int:
        """Answers asked for, to all prompts together."""
        if isinstance(self.prompt, list) and self.prompt and isinstance(self.prompt[0], str):
            return self.n * len(self.prompt)
        return self.n

    @property
    def most_tokens(self) -> int | None:
        """Most tokens to generate."""
        return self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """As for :class:`ChatBody`."""
        return self.logprobs


def read(kind: type[B], value: Any, size: int = 0) -> B:
    """``value``, which came in ``size`` bytes, as a body.

    Raises:
        Refused: names the field, and the nearest known one where it is unknown.
    """
    if not isinstance(value, Mapping):
        raise Refused("the body is no JSON object")
    for name in value:
        if name not in kind.model_fields:
            raise Refused(str(unknown("field", str(name)[:64], kind.model_fields)), param=str(name))
    try:
        body = kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise Refused(f"{place}: {message}" if place else message, param=place or None) from None
    if isinstance(body, Body):
        body._size = size
    return body
