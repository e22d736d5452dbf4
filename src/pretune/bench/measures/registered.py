"""The decode step while more and more tasks are registered."""

from contextlib import ExitStack

from pretune.bench.figures import Figure, milliseconds
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, Times, paired, race
from pretune.bench.stand import Stand
from pretune.engine.engine import Size


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """The same requests asked of 1 to 1,000 tasks, against the untouched base."""
    work = stand.work
    rounds: list[dict[str, Times]] = []
    for repeat in range(work.repeats):
        plain, tuned = stand.placed(repeat)
        with ExitStack() as stack:
            nobody: list[str | None] = [None] * work.requests
            sides = {"base": (stack.enter_context(stand.engine(plain)), nobody)}
            for count in work.registered:
                # Spread over all that are registered, in the slots that a server has.
                names = [f"prompt-{i * count // work.requests}" for i in range(work.requests)]
                engine = stack.enter_context(stand.engine(tuned, slots=Size().slots))
                sides[str(count)] = (engine, names)
            for new, seed in ((2, -1), (work.steps + 1, repeat)):
                times, _ = race(
                    {
                        side: Lane(engine, stand.requests(names, new, seed))
                        for side, (engine, names) in sides.items()
                    }
                )
            rounds.append(times)
        tell((repeat + 1) / work.repeats)
    most = str(work.registered[-1])
    return [
        Figure.of(
            "decode_ratio_1000_tasks",
            [paired(times[most].steps, times["base"].steps) for times in rounds],
            step_ms={
                side: milliseconds([s for times in rounds for s in times[side].steps])
                for side in rounds[0]
            },
        )
    ]
