"""One long document asked by several tasks: written once for all, or by each for itself."""

import statistics

from pretune.bench.figures import Figure
from pretune.bench.measures.measure import Tell
from pretune.bench.race import Lane, race
from pretune.bench.stand import Stand, segment
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """Seconds to the first tokens of all, scope ``prompt`` over scope ``suffix``."""
    work = stand.work
    took: dict[Scope, list[float]] = {Scope.PROMPT: [], Scope.SUFFIX: []}
    tokens = work.document + work.question + 1
    with stand.engine(
        stand.base, slots=2 * work.readers, sequences=work.readers, tokens=tokens
    ) as engine:
        for scope in took:  # the adapters into their slots
            race({scope: Lane(engine, _requests(stand, scope, -1, work.question))})
        for repeat in range(work.repeats):
            for scope, seconds in took.items():
                lane = Lane(engine, _requests(stand, scope, repeat, work.document))
                times, _ = race({scope: lane})
                seconds.append(times[scope].prefill)
            tell((repeat + 1) / work.repeats)
    pairs = zip(took[Scope.PROMPT], took[Scope.SUFFIX], strict=True)
    return [
        Figure.of(
            "document_ttft_gain",
            [prompt / suffix for prompt, suffix in pairs],
            **{f"{scope}_s": round(statistics.median(some), 3) for scope, some in took.items()},
        )
    ]


def _requests(stand: Stand, scope: Scope, seed: int, length: int) -> list[Request]:
    document = segment(stand.ids(length, seed, int(scope is Scope.SUFFIX)), Role.CONTEXT)
    return [
        Request(
            f"{scope}:{seed}:{i}",
            (document, segment(stand.ids(stand.work.question, seed, 2 + i))),
            f"{scope}-{i}",
            1,
        )
        for i in range(stand.work.readers)
    ]
