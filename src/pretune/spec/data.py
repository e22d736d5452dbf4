"""The data section of a task file: where rows come from and how they are split."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from pretune.spec.model import Strict


class HubSource(Strict):
    """A data set of the Hugging Face hub, read through the ``datasets`` library."""

    hub: str = Field(min_length=1, description="name of the data set, such as owner/name")
    config: str | None = Field(None, description="configuration of the data set")
    split: str = Field("train", min_length=1, description="split of the data set")
    revision: str | None = Field(None, description="commit or tag of the data set")
    allow_download: bool = Field(False, description="let the data set be fetched from the network")


Source = Annotated[
    Annotated[Path, Tag("file")] | Annotated[HubSource, Tag("hub")],
    Discriminator(lambda value: "hub" if isinstance(value, (dict, HubSource)) else "file"),
]
"""One place that rows come from: a file, or a data set of the hub."""


class DataSpec(Strict):
    """Sources of the three splits; what is not given is cut from ``train`` by content hash."""

    train: tuple[Source, ...] = Field(
        min_length=1,
        description="a path relative to the task file (.jsonl, .json, .csv, .tsv, .parquet), "
        "{hub: name}, or a list of them",
    )
    validation: tuple[Source, ...] | None = Field(
        None, min_length=1, description="rows for early stopping; default: cut from train"
    )
    test: tuple[Source, ...] | None = Field(
        None,
        min_length=1,
        description="rows for the final numbers; default: cut from train, if test_share says so",
    )
    validation_share: float = Field(
        0.1, gt=0, lt=0.9, description="share of train cut for validation where none is given"
    )
    test_share: float = Field(
        0.0, ge=0, lt=0.9, description="share of train cut for test where none is given"
    )
    encoding: str = Field("utf-8", description="encoding of text files")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of all splits, each once; data sets of the hub are none."""
        sources = (*self.train, *(self.validation or ()), *(self.test or ()))
        return tuple(dict.fromkeys(one for one in sources if isinstance(one, Path)))

    @field_validator("train", "validation", "test", mode="before")
    @classmethod
    def _as_sources(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        folder: Path | None = (info.context or {}).get("folder")
        if folder is None:
            return items
        return [folder / item if isinstance(item, (str, Path)) else item for item in items]

    @field_validator("train", "validation", "test")
    @classmethod
    def _row_ids_differ(cls, value: tuple[Source, ...] | None) -> tuple[Source, ...] | None:
        names = [source.name for source in value or () if isinstance(source, Path)]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(
                f'two files are named "{twice[0]}", so "{twice[0]}:1" would name two rows; '
                "rename one"
            )
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError as error:
            raise ValueError(
                f'unknown encoding "{value}"; known: utf-8, gb18030, big5, latin-1, cp1252, '
                "utf-16 and Python's other text encodings"
            ) from error
        return value

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Self:
        for split in ("validation", "test"):
            key = f"{split}_share"
            if getattr(self, split) is not None and key in self.model_fields_set:
                raise ValueError(
                    f'"{split}" and "{key}" are both given, and only one can hold; remove one'
                )
        cut = (0 if self.validation else self.validation_share) + (
            0 if self.test else self.test_share
        )
        if cut >= 0.9:
            raise ValueError(
                f"{cut:g} of train would be cut for validation and test; keep under 0.9"
            )
        return self
