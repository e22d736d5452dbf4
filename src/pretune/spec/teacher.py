"""The teacher: who is asked, how fast, and what it may cost."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pretune.core.hosts import is_loopback
from pretune.spec.base import BaseSpec
from pretune.spec.model import Strict


class PriceSpec(Strict):
    """Prices of a million tokens; without them money is not counted."""

    prompt: float = Field(ge=0, description="of a million tokens that are sent")
    answer: float = Field(ge=0, description="of a million tokens that come back")
    currency: str = Field("", description="stands behind amounts")


class EndpointSpec(Strict):
    """An OpenAI-compatible endpoint. Naming it is the leave to send it what the step says."""

    url: str = Field(
        description='where it is, such as "https://host/v1"; "/chat/completions" is added'
    )
    model: str = Field(min_length=1, description="what the endpoint calls the model")
    key_env: str | None = Field(
        None, min_length=1, description="environment variable that holds the API key"
    )
    allow_http: bool = Field(
        False, description="let text and key travel unencrypted to another machine"
    )
    timeout: float = Field(120, gt=0, description="seconds that one call may take")
    tries: int = Field(6, ge=1, description="calls made for one answer before the step stops")
    longest_wait: float = Field(
        300, ge=0, description="most seconds to wait before a call is made again"
    )
    concurrency: int = Field(4, ge=1, le=64, description="calls under way at a time")
    calls_per_minute: int | None = Field(None, ge=1, description="most calls in a minute")
    tokens_per_minute: int | None = Field(
        None, ge=1, description="most tokens in a minute, those of prompt and answer together"
    )
    prices: PriceSpec | None = Field(None, description="section below")

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username is not None or parts.password is not None:
            raise ValueError("a url must hold no password; name its variable under key_env")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f'"{value}" is no address; write it like "https://host/v1"')
        if parts.query or parts.fragment:
            raise ValueError(f'"{value}" goes on after its path; end it there')
        return value.rstrip("/")

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname or ""):
            raise ValueError(
                f'"{self.url}" is not encrypted and not this machine; use https, or say '
                "allow_http: true"
            )
        return self


class TeacherSpec(Strict):
    """Who answers: an endpoint, or a base of this machine."""

    endpoint: EndpointSpec | None = Field(None, description="section below")
    base: BaseSpec | None = Field(None, description="a base, as in a task file")
    temperature: float = Field(0.3, ge=0, le=2, description="0: the most probable answer")
    max_tokens: int = Field(1024, ge=1, description="most tokens of an answer")
    held: bool = Field(
        False,
        description="hold a base to the JSON that distilling asks for: small models break it often",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.endpoint is None) == (self.base is None):
            raise ValueError("name one teacher: endpoint or base")
        if self.held and self.base is None:
            raise ValueError('"held" is for a base of this machine; remove it from an endpoint')
        return self

    def placed(self, folder: Path) -> "TeacherSpec":
        """With a base that begins with a dot in ``folder``."""
        return self.model_copy(update={"base": self.base and self.base.placed(folder)})


class BudgetSpec(Strict):
    """What one folder may cost in all its runs; calls without an answer count at their most."""

    calls: int | None = Field(None, ge=0, description="most calls, those that failed too")
    tokens: int | None = Field(None, ge=0, description="most tokens of prompts and answers")
    money: float | None = Field(None, ge=0, description="most money, by the teacher's prices")
    when_spent: Literal["stop", "finish"] = Field(
        "stop",
        description="stop: go on when it is raised; finish: write what the answers so far give",
    )


def need_prices(teacher: TeacherSpec | None, budget: BudgetSpec) -> None:
    """Refuse a budget of money where none can be counted.

    Raises:
        ValueError: the teacher has no prices.
    """
    endpoint = teacher.endpoint if teacher else None
    if budget.money is not None and (endpoint is None or endpoint.prices is None):
        raise ValueError("a budget of money needs teacher.endpoint.prices")
