"""What the server adds: as many streams over HTTP as requests, against the engine by itself."""

import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pretune.bases import Base
from pretune.bench.figures import Figure
from pretune.bench.measures.measure import Tell
from pretune.bench.stand import WARM_PROMPT, Stand
from pretune.core.errors import PretuneError
from pretune.core.records import Request
from pretune.engine.engine import Engine
from pretune.serving import streams

MODEL = "base"


def measure(stand: Stand, tell: Tell) -> list[Figure]:
    """Seconds from the first request to the last token, server over engine, less one."""
    try:
        import uvicorn  # noqa: F401

        import pretune.serving.app  # noqa: F401
    except ModuleNotFoundError as error:
        missing = f"\"{error.name}\" is not installed; pip install 'pretune[serve]'"
        return [Figure.absent("http_overhead", missing)]
    work = stand.work
    own: list[float] = []
    served: list[float] = []
    plain, other = stand.placed(0)
    with stand.engine(plain) as engine, stand.engine(other) as behind, _server(other, behind) as at:
        for repeat in range(-1, work.repeats):
            new = work.new if repeat >= 0 else 2
            prompt = work.prompt if repeat >= 0 else WARM_PROMPT
            requests = stand.requests([None] * work.requests, new, repeat, prompt)
            taken = _drain(engine, requests)
            asked = _ask(at, requests)
            if repeat >= 0:
                own.append(taken)
                served.append(asked)
            tell((repeat + 1) / work.repeats)
    return [
        Figure.of(
            "http_overhead",
            [http / alone - 1 for http, alone in zip(served, own, strict=True)],
            engine_s=round(statistics.median(own), 3),
            server_s=round(statistics.median(served), 3),
        )
    ]


def _drain(engine: Engine, requests: list[Request]) -> float:
    for request in requests:
        engine.submit(request)
    began = time.perf_counter()
    while engine.busy:
        engine.step()
    return time.perf_counter() - began


def _ask(port: int, requests: list[Request]) -> float:
    """Streams from a process of their own; it counts their tokens and tells its seconds."""
    bodies = [
        {
            "model": MODEL,
            "prompt": list(request.segments[0].ids),
            "max_tokens": request.max_new_tokens,
            "stream": True,
        }
        for request in requests
    ]
    ran = subprocess.run(
        [sys.executable, streams.__file__, str(port)],
        input=json.dumps(bodies),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise PretuneError(f"the streams failed: {ran.stderr.strip()[-500:]}")
    told = json.loads(ran.stdout)
    wanted = sum(request.max_new_tokens for request in requests)
    if told["pieces"] != wanted:
        raise PretuneError(f"{told['pieces']} pieces came over HTTP, not {wanted}")
    return float(told["seconds"])


@contextmanager
def _server(base: Base, engine: Engine) -> Iterator[int]:
    """The server on loopback around ``engine``; yields its port."""
    import uvicorn

    from pretune.monitoring.prometheus import Prometheus
    from pretune.serving.admission import Admission
    from pretune.serving.app import Service, create_app
    from pretune.serving.catalogue import Catalogue, ServedTask
    from pretune.serving.grammars import Grammars
    from pretune.serving.keys import NO_KEYS
    from pretune.serving.worker import Worker
    from pretune.spec.limits import LimitsSpec

    service = Service(
        worker=Worker(engine, 256),
        catalogue=Catalogue(base.renderer, base.anatomy.vocabulary, [ServedTask(MODEL)]),
        renderer=base.renderer,
        grammars=Grammars(
            base.renderer.tokenizer_json, base.renderer.end_ids, base.anatomy.vocabulary
        ),
        keys=NO_KEYS,
        admission=Admission(LimitsSpec()),
        meter=Prometheus(),
        longest=base.renderer.context_length,
    )
    server = uvicorn.Server(
        uvicorn.Config(create_app(service), log_level="error", access_log=False)
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise PretuneError("the server did not start")
            time.sleep(0.01)
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
