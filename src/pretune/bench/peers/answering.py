"""What the programs of this folder have in common. Standard library only: a peer's interpreter need
not have pretune.

A line of JSON in, a line of JSON out; the first line in holds the settings. What libraries print to
standard output goes to standard error.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def answer_lines(start: Callable[[dict[str, Any]], Answer]) -> None:
    """Start with the settings, say ready, then answer every line until there is no more."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer = start(json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=out, flush=True)


def times_of(prefill: float, steps: list[float], firsts: list[int]) -> dict[str, Any]:
    """Seconds to all first tokens and of each step after, and the first token of each prompt."""
    return {"prefill": prefill, "steps": steps, "firsts": firsts}
