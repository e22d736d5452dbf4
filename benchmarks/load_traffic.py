"""The traffic of the load test: clients of all kinds, at random times, each answer checked."""

import asyncio
import contextlib
import json
import math
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import load_killed
from load_versions import Pointers
from load_world import TEXTS, Question


@dataclass
class Tally:
    """What came of the traffic."""

    outcomes: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "outcomes": dict(sorted(self.outcomes.items())),
            "answers_by_version": dict(sorted(self.versions.items())),
            "wrong": self.wrong[:20],
            "p50_s": {name: _share(some, 0.5) for name, some in self.seconds.items()},
            "p99_s": {name: _share(some, 0.99) for name, some in self.seconds.items()},
        }


def _share(values: list[float], share: float) -> float:
    return round(sorted(values)[math.ceil(share * len(values)) - 1], 4)


Kind = Callable[[httpx.AsyncClient, Question], Coroutine[Any, Any, None]]


class Traffic:
    """Clients of all kinds on one server."""

    def __init__(
        self, url: str, questions: list[Question], seed: int, pointers: Pointers | None = None
    ) -> None:
        self.tally = Tally()
        self._pointers = pointers or Pointers()
        self._url = url
        self._questions = questions
        self._chance = random.Random(seed)
        self.kinds: dict[Kind, int] = {
            self.whole: 40,
            self.stream: 40,
            self.leave: 10,
            self.refused: 5,
            self.killed: 1,
        }

    async def run(self, seconds: float, rate: float) -> None:
        """Arrivals for ``seconds``, ``rate`` a second on average, and one of each kind at least;
        returns when all have ended."""
        under_way: set[asyncio.Task[None]] = set()
        end = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self._url, timeout=120, limits=limits) as http:
            for count, kind in enumerate(self._drawn()):
                if count >= len(self.kinds) and time.monotonic() > end:
                    break
                await asyncio.sleep(self._chance.expovariate(rate))
                question = self._chance.choice(self._questions)
                task = asyncio.create_task(self._guarded(kind(http, question), kind.__name__))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)

    def _drawn(self) -> Iterator[Kind]:
        """Kinds of clients: each of them once, so that the shortest run has all, then by weight."""
        kinds, weights = list(self.kinds), list(self.kinds.values())
        yield from self._chance.sample(kinds, len(kinds))
        while True:
            yield from self._chance.choices(kinds, weights)

    async def _guarded(self, work: Any, kind: str) -> None:
        try:
            await work
        except Exception as error:
            self.tally.wrong.append(f"{kind}: {type(error).__name__}: {error}"[:200])

    def _note(self, kind: str, response: httpx.Response) -> bool:
        """Whether it is an answer; 429 is one too, of a full server."""
        outcome = "ok" if response.status_code == 200 else str(response.status_code)
        self.tally.outcomes[f"{kind} {outcome}"] += 1
        if response.status_code not in (200, 429):
            self.tally.wrong.append(f"{kind}: status {response.status_code}")
        return response.status_code == 200

    def _check(self, question: Question, found: str, shown: set[str], began: float) -> str | None:
        """What is wrong with an answer whose parts have ``shown`` these versions."""
        task = question.body["model"]
        if question.versions is None:
            return None if found == question.text else f"another answer for {task}"
        if len(shown) != 1:
            return f"{len(shown)} versions in an answer of {task}"
        (version,) = shown
        self.tally.versions[f"{task}@{version}"] += 1
        if not self._pointers.allows(task, version, began, time.monotonic()):
            return f"{task} answered by version {version} when it was not pointed to"
        if found != question.versions.get(version):
            return f"another answer for {task}@{version}"
        return None

    def _tell(self, kind: str, problem: str | None) -> None:
        if problem is not None:
            self.tally.wrong.append(f"{kind}: {problem}")

    def _id(self) -> dict[str, str]:
        """A request's own id, so that the same question goes to canaries and past them."""
        return {"x-request-id": f"{self._chance.random()}"}

    async def whole(self, http: httpx.AsyncClient, question: Question) -> None:
        """A whole answer."""
        began = time.monotonic()
        response = await http.post("/v1/chat/completions", json=question.body, headers=self._id())
        self.tally.seconds["whole"].append(time.monotonic() - began)
        if self._note("whole", response):
            answer = response.json()
            choice, shown = answer["choices"][0], {answer["system_fingerprint"]}
            text = choice["message"]["content"]
            self._tell("whole", self._check(question, text, shown, began))
            for label, expected in (question.scores or {}).items():
                if not math.isclose(choice["scores"][label], expected, abs_tol=1e-4):
                    self.tally.wrong.append(f"whole: other scores for {question.body['model']}")

    async def stream(self, http: httpx.AsyncClient, question: Question) -> None:
        """A stream, read to its end."""
        began, first, pieces, shown = time.monotonic(), None, [], set()
        body, path = question.body | {"stream": True}, "/v1/chat/completions"
        async with http.stream("POST", path, json=body, headers=self._id()) as response:
            if not self._note("stream", response):
                return
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    first = first or time.monotonic()
                    event = json.loads(line[6:])
                    shown.add(event["system_fingerprint"])
                    pieces.append(event["choices"][0]["delta"].get("content") or "")
        self.tally.seconds["first_piece"].append((first or began) - began)
        self.tally.seconds["stream"].append(time.monotonic() - began)
        self._tell("stream", self._check(question, "".join(pieces), shown, began))

    async def leave(self, http: httpx.AsyncClient, question: Question) -> None:
        """Asks for much and leaves, before the first piece or after some."""
        model = self._questions[0] if question.versions is None else question
        body = {"model": model.body["model"], "messages": question.body["messages"]}
        body |= {"max_tokens": 200, "stream": self._chance.random() < 0.5}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._chance.uniform(0.01, 0.4)):
                async with http.stream("POST", "/v1/chat/completions", json=body) as response:
                    async for _ in response.aiter_lines():
                        pass
        self.tally.outcomes["left"] += 1

    async def refused(self, http: httpx.AsyncClient, question: Question) -> None:
        """What makes no sense gets its status, load or not."""
        for change, status in (({"model": "no-such-task"}, 404), ({"tools": []}, 400)):
            response = await http.post("/v1/chat/completions", json=question.body | change)
            if response.status_code != status:
                self.tally.wrong.append(f"refused: {response.status_code}, not {status}")
        self.tally.outcomes["refused"] += 1

    async def killed(self, _http: httpx.AsyncClient, question: Question) -> None:
        """A client with several long streams, ended by SIGKILL when all have begun."""
        bodies = [
            {"model": self._questions[0].body["model"], "prompt": f"{text} {self._chance.random()}",
             "max_tokens": 200, "stream": True}
            for text in TEXTS[:3]
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, load_killed.__file__, self._url.rpartition(":")[2],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(bodies).encode())
        process.stdin.close()
        begun = await process.stdout.readline()
        await asyncio.sleep(self._chance.uniform(0, 0.4))
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        self._tell("killed", None if begun else "the server did not answer")
        self.tally.outcomes["killed"] += 1
