"""Prompt scope against the same engine's own path for adapters on all tokens."""

from pretune.bench.figures import Figure, milliseconds
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, Times, race
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.core.scope import Scope


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """Throughput of the two at each number of tasks; as many requests as tasks, or the work's."""
    work = stand.work
    gains: dict[int, list[float]] = {}
    steps: dict[str, dict[str, float]] = {}
    for place, tasks in enumerate(work.scopes):
        rounds = [_round(stand, tasks, repeat) for repeat in range(_repeats(stand, tasks))]
        speed = {
            scope: [t[scope].throughput(max(tasks, work.requests), work.new) for t in rounds]
            for scope in (Scope.PROMPT, Scope.ALL)
        }
        both = zip(speed[Scope.PROMPT], speed[Scope.ALL], strict=True)
        gains[tasks] = [prompt / everywhere for prompt, everywhere in both]
        steps[str(tasks)] = {
            str(scope): milliseconds([s for times in rounds for s in times[scope].steps])
            for scope in speed
        }
        tell((place + 1) / len(work.scopes))
    return [
        Figure.of(
            f"prompt_vs_all_{tasks}",
            gains[tasks],
            step_ms=steps[str(tasks)],
        )
        for tasks in work.scopes
    ]


def _repeats(stand: Stand, tasks: int) -> int:
    """Large batches are measured once: an all-token step of theirs takes seconds."""
    return stand.work.repeats if tasks <= stand.work.requests else 1


def _round(stand: Stand, tasks: int, repeat: int) -> dict[str, Times]:
    work = stand.work
    count = max(tasks, work.requests)
    first, second = stand.placed(repeat)
    with (
        stand.engine(first, slots=tasks, sequences=count) as narrow,
        stand.engine(second, slots=tasks, sequences=count) as everywhere,
    ):
        sides = {Scope.PROMPT: narrow, Scope.ALL: everywhere}
        for new, seed, prompt in ((2, -1, WARM_PROMPT), (work.steps + 1, repeat, work.prompt)):
            times, _ = race(
                {
                    scope: Lane(
                        engine,
                        stand.requests(stand.names(tasks, scope, count), new, seed, prompt),
                    )
                    for scope, engine in sides.items()
                }
            )
        return dict(times)
