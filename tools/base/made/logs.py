"""Log lines of invented services and their templates, with `<*>` for what varies."""

from __future__ import annotations

import random
from collections.abc import Callable

from made.exercise import Exercise, asked
from made.grammar import SLOT, fill
from made.words import phrases

WILDCARD = "<*>"


def address(rng: random.Random) -> str:
    """An IPv4 address."""
    return ".".join(str(rng.randint(1, 254)) for _ in range(4))


def path(rng: random.Random) -> str:
    """A path of two to four folders."""
    folders = ["var", "data", "home", "tmp", "logs", "srv", "cache", "app"]
    return "/" + "/".join(rng.sample(folders, rng.randint(2, 4)))


FILLERS: dict[str, Callable[[random.Random], str]] = {
    "N": lambda rng: str(rng.randint(0, 99999)),
    "A": address,
    "E": lambda rng: f"{address(rng)}:{rng.randint(1024, 65000)}",
    "P": path,
    "K": lambda rng: f"{rng.getrandbits(40):x}",
    "U": lambda rng: rng.choice(["root", "admin", "guest", "svc_web", "backup", "jdoe", "test01"]),
    "B": lambda rng: f"{rng.choice(['blk', 'task', 'job', 'session'])}_{rng.randint(1, 10**9)}",
}


def parse_log(rng: random.Random) -> Exercise:
    """Log line to template."""
    pairs = []
    for _ in range(rng.choice([1, 2, 3])):
        template = rng.choice(phrases("log_templates")["templates"])
        line = fill(template, lambda slot: FILLERS[slot](rng))
        pairs.append((line, SLOT.sub(WILDCARD, template)))
    return Exercise(asked(rng, "log"), pairs)


MAKERS = [(parse_log, 1)]
