"""The decode step while more and more tasks are registered."""

from pretune.bench.figures import Figure, milliseconds
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, Times, paired, race
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.engine.engine import Size


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """The same requests asked of 1 to 1,000 tasks, each number against the untouched base; the
    largest number in every repeat, the others once."""
    work = stand.work
    found: dict[int, list[dict[str, Times]]] = {count: [] for count in work.registered}
    most = work.registered[-1]
    for repeat in range(work.repeats):
        plain, tuned = stand.placed(repeat)
        # As many slots as a server has, whatever the number of tasks.
        with stand.engine(plain) as base, stand.engine(tuned, slots=Size().slots) as tasks:
            for place, count in enumerate(work.registered):
                if repeat and count != most:
                    continue
                names = _spread(count, work.requests)
                # With fewer slots than tasks the first prompts decode while the last ones wait, so
                # all may write more than the steps that are measured.
                for new, seed, prompt in (
                    (2, -1 - place, WARM_PROMPT),
                    (work.new, repeat * 100 + place, work.prompt),
                ):
                    nobody: list[str | None] = [None] * work.requests
                    times, _ = race(
                        {
                            side: Lane(engine, stand.requests(asked, new, seed, prompt), work.steps)
                            for side, engine, asked in (
                                ("base", base, nobody),
                                ("tasks", tasks, names),
                            )
                        }
                    )
                found[count].append(times)
        tell((repeat + 1) / work.repeats)
    ratios = {
        count: [paired(times["tasks"].steps, times["base"].steps) for times in rounds]
        for count, rounds in found.items()
    }
    return [
        Figure.of(
            "decode_ratio_1000_tasks",
            ratios[most],
            ratio={str(count): round(some[0], 4) for count, some in ratios.items()},
            step_ms={
                str(count): milliseconds([s for times in rounds for s in times["tasks"].steps])
                for count, rounds in found.items()
            },
        )
    ]


def _spread(count: int, requests: int) -> list[str | None]:
    """Names of tasks for ``requests``, from all over the ``count`` that are registered."""
    return [f"prompt-{i * count // requests}" for i in range(requests)]
