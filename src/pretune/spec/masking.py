"""Masking of what a step reads: on or off, with which key."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pretune.core.hosts import is_loopback
from pretune.core.names import unknown
from pretune.spec.model import Strict
from pretune.spec.teacher import TeacherSpec

PRIVATE_TYPES = (
    *("person", "phone", "email", "address", "card", "id", "plate", "account", "secret"),
)


class MaskSpec(Strict):
    """What is private is replaced before anything is stored or sent; the key file undoes it."""

    key: Path | None = Field(
        description="the key file; it and its vault are made if there are none; null: no masking"
    )
    types: tuple[str, ...] = Field(
        PRIVATE_TYPES,
        min_length=1,
        description="what is replaced: " + ", ".join(PRIVATE_TYPES) + "; default: all",
    )
    presidio: str | None = Field(
        None, min_length=1, description="installed spaCy pipeline that finds names too"
    )

    @model_validator(mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return {"key": None} if value is False else value

    @field_validator("types")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in PRIVATE_TYPES:
                raise unknown("type", name, PRIVATE_TYPES)
        return value

    def placed(self, folder: Path) -> "MaskSpec":
        """With the key file relative to ``folder``."""
        if self.key is None:
            return self
        return self.model_copy(update={"key": folder / self.key.expanduser()})


def need_choice(teacher: TeacherSpec | None, mask: MaskSpec | None) -> None:
    """Refuse to send text to another machine where nobody has said whether to mask it.

    Raises:
        ValueError: the teacher is elsewhere, and nothing was said.
    """
    if mask is not None or teacher is None or teacher.endpoint is None:
        return
    url = teacher.endpoint.url
    if not is_loopback(urlsplit(url).hostname or ""):
        raise ValueError(
            f'"{url}" is another machine, and no text is sent there unasked; mask it, as in '
            "mask: {key: my.key}, or say mask: false to send it as it is"
        )
