"""The base section of a task file: which frozen model, and in what precision."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pretune.spec.model import Strict

EMBEDDED = "embedded"
"""Name of the base that ships in the package."""


class BaseSpec(Strict):
    """A base by path or hub name; a bare string in a task file is its name."""

    name: str = Field(
        EMBEDDED,
        min_length=1,
        description='"embedded", a folder (begin it with "."), or a hub name',
    )
    precision: Literal["fp32", "bf16", "nf4"] = Field(
        "fp32", description="how the frozen weights are kept; nf4 is 4-bit (QLoRA)"
    )
    revision: str | None = Field(None, description="commit or tag of a hub model")
    allow_download: bool = Field(False, description="let a hub model be fetched from the network")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def placed(self, folder: Path) -> "BaseSpec":
        """With a name that begins with a dot taken from ``folder``, as a whole path: a run keeps
        its task file in another folder, and is used from others still."""
        if not self.name.startswith("."):
            return self
        return self.model_copy(update={"name": str((folder / self.name).absolute())})
