"""Small trainings on a tiny base, shared by these tests."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases import Base
from pretune.bases.fakes import tiny_base
from pretune.core.digest import of_json
from pretune.core.events import Event
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.data.softlabels import SoftHeader, SoftKind, SoftLabels, SoftRow
from pretune.spec.methods import LoraConfig, MethodConfig
from pretune.spec.training import TrainSpec
from pretune.training.loop import train
from pretune.training.objective import Objective
from pretune.training.objectives.distil import Softening, distil_labels, distil_tokens
from pretune.training.objectives.sft import SFT
from pretune.training.result import TrainResult

QUESTIONS = (
    "Which rate?",
    "What is the fee for a card abroad?",
    "Is it open?",
    "How much do I owe?",
)
ANSWERS = ("4%", "none", "yes, until six")


def rows(base: Base, count: int) -> list[TokenExample]:
    """``count`` rows of several lengths, of prompts and of answers."""
    found = []
    for i in range(count):
        turns = (
            Turn(Role.SYSTEM, "Be brief."),
            Turn(Role.USER, QUESTIONS[i % len(QUESTIONS)] + "!" * (i % 3)),
            Turn(Role.TARGET, ANSWERS[i % len(ANSWERS)]),
        )
        segments = base.renderer.encode(base.renderer.render(turns))
        label = ANSWERS[i % len(ANSWERS)]
        found.append(TokenExample(f"made.jsonl:{i + 1}", segments, label, content=of_json(i)))
    return found


def written(example: TokenExample) -> tuple[int, ...]:
    """Token ids that the model is to write."""
    return tuple(i for s in example.segments if s.role.written_by_model for i in s.ids)


def options(base: Base) -> dict[str, tuple[int, ...]]:
    """The answers of :func:`rows` as labels, with their token ids."""
    return {str(one.label): written(one) for one in rows(base, len(ANSWERS))}


def soft_labels(
    path: Path, header: SoftHeader, examples: Sequence[TokenExample], top: int = 5
) -> SoftLabels:
    """A teacher's file that random numbers wrote; the same for the same arguments."""
    draw = torch.Generator().manual_seed(7)
    lines = [header.line()]
    for one in examples:
        if header.labels is not None:
            scores = torch.randn(1, len(header.labels), generator=draw).mul(3).log_softmax(1)
            row = SoftRow(one.row_id, one.content, tuple(map(tuple, scores.tolist())))
        else:
            targets = written(one)
            runs = torch.randn(len(targets), top + 1, generator=draw).mul(3).log_softmax(1).tolist()
            ids = [torch.randperm(90, generator=draw)[:top].tolist() for _ in targets]
            row = SoftRow(
                one.row_id, one.content, (*map(tuple, runs),), targets, (*map(tuple, ids),)
            )
        lines.append(row.line())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return SoftLabels(path)


OBJECTIVES = ("sft", "distil-labels", "distil-tokens")
"""What the laws of training run over."""


def objective_of(kind: str, folder: Path, softening: Softening | None = None) -> Objective:
    """The objective ``kind`` for twelve rows of a tiny base; its file lies in ``folder``."""
    softening = softening or Softening(2.0, 0.7)
    base = tiny_base()
    path = folder / f"{kind}.jsonl"
    if kind == "distil-labels":
        header = SoftHeader(SoftKind.LABELS, "random", labels=tuple(reversed(ANSWERS)))
        return distil_labels(soft_labels(path, header, rows(base, 12)), options(base), softening)
    if kind == "distil-tokens":
        header = SoftHeader(SoftKind.TOKENS, "random", tokenizer=base.renderer.digest)
        soft = soft_labels(path, header, rows(base, 12))
        return distil_tokens(soft, base.renderer.digest, softening)
    return SFT


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]


def run(
    folder: Path,
    spec: TrainSpec,
    *,
    base: Base | None = None,
    config: MethodConfig | None = None,
    scope: Scope = Scope.PROMPT,
    examples: Sequence[TokenExample] | None = None,
    **options,
) -> TrainResult:
    """One training from the beginning, on a base of its own unless one is given."""
    host = base or tiny_base()
    with tuning(Injection(host), config or LoraConfig(rank=3), scope, text="Say it.") as tunable:
        return train(tunable, examples or rows(host, 12), spec, folder, **options)
