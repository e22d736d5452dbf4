"""The train section of a task file; the defaults are the vetted recipe."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pretune.spec.model import Strict
from pretune.spec.privacy import PrivacySpec


class TrainSpec(Strict):
    """How an adapter is trained (AdamW throughout)."""

    epochs: int = Field(3, ge=1, description="passes over the training rows")
    max_steps: int | None = Field(None, ge=1, description="stop after so many optimiser steps")
    batch_size: int | None = Field(
        None, ge=1, description="rows in one optimiser step; default: the method's vetted number"
    )
    micro_batch_size: int | None = Field(
        None, ge=1, description="most rows in one forward pass; default: all of a step's"
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="peak learning rate; default: the method's vetted rate"
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="how the rate falls after the warm-up"
    )
    warmup: float = Field(
        0.06, ge=0, lt=1, description="share of the steps in which the rate rises"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay")
    clip_norm: float = Field(
        1.0, gt=0, description="gradient norm above which a step is scaled down"
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32", description="in which products are computed; auto: bf16 where the device is fast"
    )
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of initial weights and of the order of rows")
    patience: int = Field(
        3, ge=1, description="evaluations without a better first metric before training stops"
    )
    evaluations_per_epoch: int = Field(1, ge=1, description="evaluations on the validation rows")
    evaluation_rows: int = Field(
        500, ge=1, description="most validation rows used while training, a stable sample"
    )
    max_length: int | None = Field(
        None, ge=8, description="most tokens of prompt and answer; default: the base's context"
    )
    privacy: PrivacySpec | None = Field(
        None, description="section below; default: what a row says may be learned by heart"
    )

    @model_validator(mode="after")
    def _row_by_row(self) -> Self:
        if self.privacy is not None and self.micro_batch_size not in (None, 1):
            raise ValueError(
                f'micro_batch_size "{self.micro_batch_size}": with privacy, rows are learned one '
                "by one; remove it"
            )
        return self

    @property
    def most_at_once(self) -> int | None:
        """Most rows in one forward pass; ``None``: all of a step's."""
        return self.micro_batch_size if self.privacy is None else 1
