"""The thread that steps the engine, and what goes on beside a step."""

import asyncio
import sys
import threading
import time
from dataclasses import replace

from laws.cases import CONFIGS, make_adapter, request_of
from pretune.bases.fakes import tiny_base
from pretune.core.records import FinishReason
from pretune.core.scope import Scope
from pretune.engine.engine import Engine, Size
from pretune.serving.worker import Worker


def test_counts_may_be_read_while_adapters_come_and_go():
    """As who scrapes metrics does."""
    base = tiny_base()
    adapter = make_adapter(base, CONFIGS["lora"], Scope.PROMPT)
    engine = Engine(base, base.renderer.end_ids, lambda _name: adapter, Size(96, 4, 2, 64, 16))
    slots, done, wrong = engine._slots, threading.Event(), []

    def read() -> None:
        while not done.is_set():
            try:
                engine.stats()
            except Exception as error:
                wrong.append(error)
                return

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    reading = threading.Thread(target=read)
    reading.start()
    end = time.monotonic() + 2
    try:
        while time.monotonic() < end and not wrong:
            for name in "abc":
                while slots.ready(name) is None:
                    slots.wait(1)
                slots.hold(name)
                slots.release(name)
    finally:
        sys.setswitchinterval(before)
        done.set()
        reading.join()
        engine.close()
    assert not wrong
    assert slots.bytes == 0


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
