"""Load on a real server: mixed traffic at random times, every answer checked, leaks looked for.

Starts ``pretune serve`` on loopback over a base with a task of every method and scope, and sends
it requests as they would come (Poisson arrivals, whether or not earlier ones are done): tasks,
labels and the bare base, streams and whole answers, clients that leave or are killed, and
requests that must be refused. There are fewer slots than tasks, so adapters come and go all the
time, and a cache that is often full. An answer must be its own task's, as the slow reference
gives it.

Meanwhile an operator promotes versions of some tasks, rolls back and sends canaries, through the
server or past it, and collects what is needed no more. An answer of theirs must be that of the
version it names, and the task must have pointed to that version during the request.

At the end nothing may be left: no block, no adapter, no request, no pinned version, no open file,
no memory, and nothing may stand in the server's log.

    python benchmarks/load.py --minutes 10
    python benchmarks/load.py --minutes 0.2 --rate 8 --json      # what the tests run
    python benchmarks/load.py --minutes 10 --base embedded --rate 2

Exit code 1 if an answer was wrong, a request failed that should not, or something is left.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2 as httpx
from load_server import IDLE_SECONDS, Server, left_over, room
from load_traffic import Traffic
from load_versions import Operator
from load_world import build_world

CHANGES = 1.0
"""Changes of versions a second."""


async def _both(traffic: Traffic, operator: Operator, seconds: float, rate: float) -> None:
    changing = asyncio.create_task(operator.run(seconds, CHANGES))
    await traffic.run(seconds, rate)
    await changing


def load(seconds: float, rate: float, base: str, seed: int) -> dict[str, Any]:
    """One run; the record says what was asked, answered, wrong and left."""
    with tempfile.TemporaryDirectory(prefix="pretune-load-") as name:
        questions, changing = build_world(Path(name), base)
        server = Server(Path(name))
        operator = Operator(server.url, server.admin_key, Path(name) / "registry", changing, seed)
        try:
            server.wait_ready()
            warm = Traffic(server.url, questions, seed + 1, operator.pointers)
            asyncio.run(_both(warm, operator, min(60, 0.25 * seconds), rate))
            operator.done.clear()
            server.idle()
            before = server.held()
            traffic = Traffic(server.url, questions, seed, operator.pointers)
            asyncio.run(_both(traffic, operator, seconds, rate))
            counts, after = server.idle(), server.settled(before)
            held = operator.left_over(IDLE_SECONDS)
            held += room(server.url, questions[0].body["model"])
            healthy = httpx.get(f"{server.url}/health").status_code == 200
        finally:
            gone = server.stop()
        log = server.log()
    wrong = warm.tally.wrong + traffic.tally.wrong + operator.wrong
    traffic.tally.wrong = wrong
    left = left_over(counts, before, after, log) + held + ([] if healthy else ["not healthy"])
    return {
        "ok": not wrong and not left,
        **traffic.tally.record(),
        "changes": dict(sorted(operator.done.items())),
        "left": left,
        "questions": len(questions),
        "rss_growth_mib": round((after.rss - before.rss) / 2**20, 1),
        "before": before._asdict(),
        "after": after._asdict(),
        "adapter_loads": counts["adapter_loads"],
        "preemptions": counts["preemptions"],
        "reused_prompt_tokens": counts["reused_prompt_tokens"],
        "stop_s": round(gone, 2),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=10, help="requests a second")
    parser.add_argument("--base", default="tiny", help="tiny (random), embedded, or a folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = load(60 * options.minutes, options.rate, options.base, options.seed)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:22} {value}")
    sys.exit(0 if found["ok"] else 1)


if __name__ == "__main__":
    main()
