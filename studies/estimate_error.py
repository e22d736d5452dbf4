"""How far the estimates of memory and time are off, on trainings that are really done.

Every configuration is reckoned, then run for two steps in a process of its own. What is done
already is skipped, so that the study can be run in parts. The table holds what the present code
reckons against what was measured: in the folder, or where it has nothing, in the package.

    python studies/estimate_error.py --out FOLDER [--seconds 270]    # measure, in parts
    python studies/estimate_error.py --out FOLDER --table            # print what was found
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pretune.bases.fakes import save_tiny
from pretune.core.scope import Scope
from pretune.core.segments import Role
from pretune.spec.base import BaseSpec
from pretune.spec.methods import METHODS
from pretune.spec.training import TrainSpec
from pretune.training.estimate.calibrate import errors
from pretune.training.estimate.dry_run import dry_run
from pretune.training.estimate.reckon import Reckoned, blank_of, reckon
from pretune.training.estimate.records import Record, keep_record, own_records, shipped_records
from pretune.training.estimate.work import Lengths, Measuring, Work
from pretune.training.precision import autocasts

BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "deep": (
        "qwen2",
        {
            "hidden_size": 384,
            "intermediate_size": 1536,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "vocab_size": 16_000,
            "tie_word_embeddings": True,
            "max_position_embeddings": 2048,
        },
    ),
    "wide": (
        "qwen2",
        {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 8,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "vocab_size": 32_000,
            "tie_word_embeddings": True,
            "max_position_embeddings": 2048,
        },
    ),
    "gpt2": (
        "gpt2",
        {
            "hidden_size": 512,
            "num_hidden_layers": 8,
            "num_attention_heads": 8,
            "vocab_size": 16_000,
            "max_position_embeddings": 2048,
        },
    ),
    "words": (
        "llama",
        {
            "hidden_size": 640,
            "intermediate_size": 1728,
            "num_hidden_layers": 6,
            "num_attention_heads": 10,
            "num_key_value_heads": 5,
            "head_dim": 64,
            "vocab_size": 64_000,
            "tie_word_embeddings": False,
            "max_position_embeddings": 2048,
        },
    ),
}
"""Random weights in shapes that differ in what is large: depth, width, vocabulary."""


class Case(NamedTuple):
    """A training: ``answers`` is what is measured between steps, labels or written tokens."""

    base: str
    method: str
    batch: int
    length: int
    scope: str = "prompt"
    target: int = 8
    train: dict[str, Any] = {}  # noqa: RUF012
    config: dict[str, Any] = {}  # noqa: RUF012
    precision: str = "fp32"
    answers: str = ""

    @property
    def name(self) -> str:
        """All of it in a line."""
        parts = [self.base, self.method, self.scope, f"{self.batch}x{self.length}"]
        parts += [f"target {self.target}"] if self.target != 8 else []
        parts += [f"base {self.precision}"] if self.precision != "fp32" else []
        parts += [f"{key} {value}" for key, value in (self.train | self.config).items()]
        return ", ".join([*parts, *([f"measuring {self.answers}"] if self.answers else [])])


BF16, AGAIN = {"precision": "bf16"}, {"gradient_checkpointing": True}

CASES = (
    Case("deep", "lora", 8, 128),
    Case("deep", "lora", 8, 128, "all"),
    Case("deep", "dora", 8, 128),
    Case("deep", "bottleneck", 8, 128),
    Case("deep", "mam", 8, 128),
    Case("deep", "direft", 8, 128),
    Case("deep", "prefix_tuning", 8, 128),
    Case("deep", "prompt_tuning", 8, 128),
    Case("deep", "full", 8, 128, "all"),
    Case("wide", "lora", 4, 128),
    Case("wide", "full", 2, 128, "all"),
    Case("wide", "prefix_tuning", 4, 128),
    Case("wide", "bottleneck", 4, 128, config={"rank": 256}),
    Case("wide", "lora", 4, 128, train=BF16),
    Case("wide", "lora", 4, 128, precision="bf16"),
    Case("wide", "lora", 4, 128, precision="nf4"),
    Case("wide", "lora", 8, 256, train=AGAIN),
    Case("wide", "lora", 4, 128, config={"rank": 64}),
    Case("embedded", "lora", 32, 64, answers="labels"),
    Case("embedded", "lora", 32, 64, train=BF16),
    Case("embedded", "full", 32, 64, "all", answers="labels"),
    Case("embedded", "prefix_tuning", 8, 256),
    Case("embedded", "lora", 16, 384, answers="writing"),
    Case("gpt2", "lora", 8, 128),
    Case("gpt2", "full", 8, 128, "all"),
    Case("gpt2", "direft", 16, 256),
    Case("gpt2", "lora", 16, 256, train=AGAIN),
    Case("words", "lora", 8, 128, target=64),
    Case("words", "lora", 8, 128, target=64, train={"micro_batch_size": 2}),
    Case("words", "full", 4, 128, "all"),
    Case("words", "lora", 8, 256, precision="nf4"),
    Case("words", "dora", 8, 128, precision="bf16"),
    Case("words", "lora", 4, 512, "suffix"),
    Case("deep", "lora", 1, 64),
    Case("deep", "lora", 2, 512),
    Case("deep", "lora", 16, 128, answers="labels"),
    Case("deep", "lora", 2, 1024),
    Case("deep", "mam", 8, 256, train=BF16 | AGAIN),
    Case("deep", "bottleneck", 4, 384, "suffix", answers="writing"),
    Case("words", "prompt_tuning", 8, 128, train=BF16, answers="labels"),
)


def row_of(case: Case) -> Lengths:
    """A row of the case's length: some context, a question, an answer."""
    context = case.length // 3
    return (
        (Role.SYSTEM, 8),
        (Role.CONTEXT, context),
        (Role.USER, case.length - context - 8 - case.target),
        (Role.TARGET, case.target),
    )


def work_of(case: Case, folder: Path) -> Work:
    """The case as work; its base is written to ``folder`` when it is first wanted."""
    place = "embedded"
    if case.base != "embedded":
        family, shape = BASES[case.base]
        place = str(folder / "bases" / case.base)
        if not Path(place, "config.json").exists():
            save_tiny(Path(place), family, **shape)
    row, measuring = row_of(case), None
    if case.answers:
        rows = (row,) * min(64, 8192 // (case.length + 8))
        options = (2, 3, 3, 4) if case.answers == "labels" else ()
        measuring = Measuring(rows=rows, options=options, new_tokens=2)
    return Work(
        base=BaseSpec(name=place, precision=case.precision),  # type: ignore[arg-type]
        method=METHODS[case.method](**case.config),  # type: ignore[arg-type]
        scope=Scope(case.scope),
        train=TrainSpec(**case.train),
        rows=(row,) * case.batch,
        measuring=measuring,
    )


def reckoned(case: Case, folder: Path) -> Reckoned:
    """What the present code says of the case's memory and work."""
    work = work_of(case, folder)
    autocast = autocasts(work.train, torch.device("cpu"))
    return reckon(work, blank_of(work.base), autocast=autocast)


def reckoned_anew(folder: Path) -> tuple[Record, ...]:
    """What was measured, in ``folder`` or as shipped, with what is reckoned today."""
    measured = {one.name: one.measured for one in own_records(folder) or shipped_records()}
    return tuple(
        Record.of(case.name, reckoned(case, folder), measured[case.name])
        for case in CASES
        if case.name in measured
    )


def print_table(records: tuple[Record, ...]) -> None:
    """Each training with its estimate by a fit to all the others, and the errors of all."""
    off_memory, off_time = errors(records)
    print(
        "| training | peak MB | estimate | step s | estimate |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for one, memory, seconds in zip(records, off_memory, off_time, strict=True):
        peak, step = one.measured.peak / 1e6, one.measured.step_seconds
        print(f"| {one.name} | {peak:,.0f} | {memory:+.0%} | {step:.2f} | {seconds:+.0%} |")
    for what, off in (("memory", off_memory), ("time", off_time)):
        size = np.abs(off)
        print(
            f"\n{what}: {len(off)} trainings, error median {np.median(size):.1%}, "
            f"nine of ten within {np.quantile(size, 0.9):.0%}, worst {size.max():.0%}"
        )


def main() -> None:
    """Measure what is still to be measured, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1e9, help="Start no case after these.")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        print_table(reckoned_anew(args.out))
        return
    end = time.monotonic() + args.seconds
    done = {record.name for record in own_records(args.out)}
    for case in CASES:
        if case.name in done:
            continue
        if time.monotonic() > end:
            break
        before, found = reckoned(case, args.out), dry_run(work_of(case, args.out))
        keep_record(Record.of(case.name, before, found), args.out)
        total = before.highest.total
        print(
            f"{case.name}: {total / 1e6:.0f} MB reckoned, {found.peak / 1e6:.0f} found", flush=True
        )


if __name__ == "__main__":
    main()
