"""The thread that steps the engine, and what goes on beside a step."""

import asyncio
import threading
from dataclasses import replace

from laws.cases import CONFIGS, make_adapter, request_of
from pretune.bases.fakes import tiny_base
from pretune.core.records import FinishReason
from pretune.core.scope import Scope
from pretune.engine.engine import Engine, Size
from pretune.serving.worker import Worker


def test_an_adapter_is_read_while_a_step_runs():
    base = tiny_base()
    adapter = make_adapter(base, CONFIGS["lora"], Scope.PROMPT)
    read, stepping, go_on = threading.Event(), threading.Event(), threading.Event()

    def load(_name):
        read.set()
        return adapter

    engine = Engine(base, base.renderer.end_ids, load, Size(96, 4, 2, 64, 16))
    step = engine.step

    def held():
        stepping.set()
        assert go_on.wait(20)
        return step()

    engine.step = held
    worker = Worker(engine, 8)
    worker.start()

    async def last(request):
        return [output async for output in worker.run(request)][-1]

    async def both():
        first = asyncio.create_task(last(replace(request_of(base, None, most=2), id="plain")))
        assert await asyncio.to_thread(stepping.wait, 20)
        second = asyncio.create_task(last(request_of(base, "lora", most=2)))
        was_read = await asyncio.to_thread(read.wait, 20)
        go_on.set()
        return was_read, await first, await second

    was_read, *ended = asyncio.run(both())
    worker.stop()
    assert was_read
    assert {output.done.reason for output in ended} <= {FinishReason.LENGTH, FinishReason.END}
    assert engine.stats().adapter_loads == 1
