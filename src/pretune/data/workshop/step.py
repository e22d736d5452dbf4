"""A step of the workshop: all that decides its output, and what it wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretune.core import digest


@dataclass(frozen=True)
class Step:
    """What decides every byte of a step's outputs.

    ``name`` is the step's (``rules``, ``mix``), ``recipe`` what people call what it was told,
    ``settings`` all of that as JSON, ``inputs`` the digest of each file that it reads; ``sources``,
    where these lie, decides nothing, but none of them is written over.
    """

    name: str
    recipe: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    sources: Sequence[Path] = ()

    @property
    def digest(self) -> str:
        """Digest of the step and its inputs."""
        return digest.of_json([self.name, self.settings, self.inputs])

    @property
    def stamp(self) -> str:
        """Name and digest of the recipe, as rows carry it."""
        return f"{self.recipe}@{digest.of_json([self.name, self.settings])[: digest.SHORT]}"

    def line(self) -> dict[str, Any]:
        """The step as the lineage tells it."""
        return {
            "step": self.name,
            "recipe": self.stamp,
            "settings": self.settings,
            "inputs": self.inputs,
        }


@dataclass(frozen=True)
class Written:
    """Finished files by what the step calls them, the rows of each, and what was counted.

    ``resumed_at``: units that an earlier process had done.
    """

    files: Mapping[str, Path]
    rows: Mapping[str, int]
    counts: Mapping[str, int]
    resumed_at: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "files": {name: str(path) for name, path in self.files.items()},
            "rows": dict(self.rows),
            "counts": dict(self.counts),
            "resumed_at": self.resumed_at,
        }
