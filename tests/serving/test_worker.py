"""The thread that steps the engine, and what goes on beside a step."""

import asyncio
import sys
import threading
import time
from contextlib import aclosing
from dataclasses import replace

import pytest

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


def _answers(worker, base, count=1):
    """How so many requests end, one after another."""

    async def one(number):
        request = replace(request_of(base, None, most=2), id=str(number))
        return [output.done async for output in worker.run(request)][-1].reason

    async def all_of_them():
        return [await asyncio.wait_for(one(number), 30) for number in range(count)]

    return asyncio.run(all_of_them())


def test_a_server_whose_steps_failed_takes_requests_and_is_well_when_they_go_through(monkeypatch):
    base = tiny_base()
    engine = Engine(base, (), lambda _name: None, Size(96, 4, 2, 64, 16))
    worker = Worker(engine, 16)
    worker.start()
    step, failures = engine.step, iter(range(4))

    def failing():
        if next(failures, None) is not None:
            raise RuntimeError("no memory")
        return step()

    monkeypatch.setattr(engine, "step", failing)
    try:
        assert _answers(worker, base, 4) == [FinishReason.FAILED] * 4
        assert worker.ready
        assert not worker.healthy
        assert _answers(worker, base) == [FinishReason.LENGTH]
        assert worker.healthy
    finally:
        worker.stop()


@pytest.mark.parametrize("broken", ["submit", "cancel", "check"])
def test_what_fails_beside_a_step_does_not_end_the_thread(monkeypatch, broken, caplog):
    base = tiny_base()
    engine = Engine(base, (), lambda _name: None, Size(96, 4, 2, 64, 16))
    worker = Worker(engine, 16)
    failed = threading.Event()

    def fails(*_given):
        failed.set()
        raise RuntimeError("somebody's words")

    async def leave():
        async with aclosing(worker.run(request_of(base, None, most=9))) as outputs:
            await anext(outputs)

    worker.start()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(engine, broken, fails)
            if broken == "submit":
                assert _answers(worker, base) == [FinishReason.FAILED]
            else:
                asyncio.run(leave())
            assert failed.wait(30)
        assert _answers(worker, base) == [FinishReason.LENGTH]
    finally:
        worker.stop()
    assert "somebody's words" not in caplog.text
