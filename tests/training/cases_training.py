"""Small trainings on a tiny base, shared by these tests."""

from collections.abc import Sequence
from pathlib import Path

from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases import Base
from pretune.bases.fakes import tiny_base
from pretune.core.events import Event
from pretune.core.records import TokenExample
from pretune.core.scope import Scope
from pretune.core.segments import Role, Turn
from pretune.spec.methods import LoraConfig, MethodConfig
from pretune.spec.training import TrainSpec
from pretune.training.loop import train
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
        found.append(
            TokenExample(f"made.jsonl:{i + 1}", base.renderer.encode(base.renderer.render(turns)))
        )
    return found


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
