"""What an engine refuses, how requests end, and that a fault stays with its own request."""

import sys
import threading
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close
from transformers import DynamicCache

from laws.cases import CONFIGS, TURNS, make_adapter, request_of
from laws.probe import SMALL, Probe
from pretune.adapters.adapter import Adapter
from pretune.adapters.injection import Injection
from pretune.adapters.methods import dora
from pretune.bases.fakes import tiny_base
from pretune.core.errors import AdapterError, SpecError
from pretune.core.records import FinishReason, Request
from pretune.core.sampling import Sampling
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.engine.blocks import BooksAreWrong
from pretune.engine.reference import Reference


@pytest.fixture(scope="module")
def base():
    return tiny_base()


@pytest.fixture(scope="module")
def lora(base) -> Adapter:
    return make_adapter(base, CONFIGS["lora"], Scope.PROMPT)


def asked(base, name, adapter=None, most=6, **sampling):
    return replace(request_of(base, adapter, most=most), id=name, sampling=Sampling(**sampling))


def test_a_stop_token_ends_and_is_not_reported(base):
    probe = Probe(base)
    free = probe.finish(asked(base, "free"))["free"]
    assert len(free.ids) == 6
    stopped = probe.finish(asked(base, "x", stop_ids=frozenset(free.ids[2:3])))["x"]
    first = free.ids.index(free.ids[2])
    assert stopped.ids == free.ids[:first]
    assert stopped.reason is FinishReason.STOP


def test_a_stop_test_sees_every_token(base):
    seen = []

    def stop(ids):
        seen.append(tuple(ids))
        return len(ids) == 3

    done = Probe(base).finish(asked(base, "x", stop=stop))["x"]
    assert done.reason is FinishReason.STOP
    assert seen == [done.ids[:1], done.ids[:2], done.ids]


def test_new_tokens_are_told_as_they_come(base):
    probe = Probe(base)
    probe.submit(asked(base, "x"))
    told, done = [], None
    while probe.busy:
        for output in probe.step():
            told += [chosen.token for chosen in output.new]
            done = output.done or done
    assert tuple(told) == done.ids
    assert len(told) == 6


def test_a_cancelled_request_says_so_and_gives_everything_back(base):
    probe = Probe(base)
    probe.submit(asked(base, "x"))
    probe.submit(asked(base, "waits"))
    probe.step()
    probe.step()
    probe.cancel("x")
    probe.cancel("x")
    probe.cancel("nobody")
    done = {o.request_id: o.done for o in probe.step() if o.done}
    assert done["x"].reason is FinishReason.CANCELLED
    assert len(done["x"].ids) == 2
    assert probe.finish()["waits"].reason is FinishReason.LENGTH
    assert probe.stats().blocks_held == 0


def test_all_who_cancel_at_once_are_heard(base):
    probe = Probe(base)
    for name in "abcd":
        probe.submit(asked(base, name))
    probe.step()
    for name in "abcd":
        probe.cancel(name)
    assert {o.request_id for o in probe.step() if o.done} == set("abcd")
    assert not probe.busy


def test_an_adapter_that_cannot_be_loaded_fails_its_request_alone(base, lora):
    def load(name):
        if name == "damaged":
            raise AdapterError('adapter "damaged" has a wrong digest')
        return lora

    probe = Probe(base, load)
    done = probe.finish(asked(base, "a", "damaged"), asked(base, "b", "good"), asked(base, "c"))
    assert done["a"].reason is FinishReason.FAILED
    assert done["a"].error == 'adapter "damaged" has a wrong digest'
    assert {done["b"].reason, done["c"].reason} == {FinishReason.LENGTH}


def test_loading_never_stalls_those_who_run(base, lora, monkeypatch):
    """Neither who ran when the adapter was asked for, nor who came while it was being read."""
    may_load = threading.Event()

    def load(_name):
        assert may_load.wait(60), "a step waited for the adapter"
        return lora

    probe = Probe(base, load)
    probe.submit(asked(base, "runs", most=4))
    probe.step()
    probe.submit(asked(base, "tuned", "a"))
    probe.submit(asked(base, "comes", most=8))
    waits: list[float] = []
    done = {}
    with monkeypatch.context() as patched:
        patched.setattr(probe._slots, "wait", waits.append)
        while not {"runs", "comes"} <= done.keys():
            done |= {o.request_id: o.done for o in probe.step() if o.done}
    assert not waits, "a step waited while others ran"
    assert probe.stats().adapters_resident == 0
    may_load.set()
    done |= probe.finish()
    assert {name: (one.reason, len(one.ids)) for name, one in done.items()} == {
        "runs": (FinishReason.LENGTH, 4),
        "comes": (FinishReason.LENGTH, 8),
        "tuned": (FinishReason.LENGTH, 6),
    }
    probe.close()


def test_an_unexpected_fault_of_a_loader_is_the_requests_too(base):
    def load(name):
        raise OSError("the disk is on fire")

    done = Probe(base, load).finish(asked(base, "a", "x"), asked(base, "b"))
    assert done["a"].reason is FinishReason.FAILED
    assert "disk is on fire" in done["a"].error
    assert done["b"].reason is FinishReason.LENGTH


def test_without_a_loader_adapters_are_unknown(base):
    done = Probe(base).finish(asked(base, "a", "lora"))["a"]
    assert 'unknown adapter "lora"' in done.error
    assert done.reason is FinishReason.FAILED, "nothing that a request says"


def test_a_poisoned_request_fails_alone_and_leaves_nothing(base, lora):
    """Its blocks go to others afterwards: what it left there must not reach them."""
    poison = replace(
        lora, weights={k: torch.full_like(v, torch.nan) for k, v in lora.weights.items()}
    )
    adapters = {"good": lora, "bad": poison}
    requests = [asked(base, "bad", "bad"), asked(base, "a", "good"), asked(base, "b")]
    lonely = Probe(base, adapters.__getitem__)
    expected = lonely.finish(*requests[1:])
    probe = Probe(base, adapters.__getitem__, SMALL._replace(blocks=40, block=8))
    for _ in range(3):
        done = probe.finish(*requests)
        probe._pool.forget()
        assert done["bad"].reason is FinishReason.FAILED
        assert "not finite" in done["bad"].error
        assert [done[n].ids for n in "ab"] == [expected[n].ids for n in "ab"]


def test_a_request_that_can_never_fit_is_refused_with_the_numbers(base):
    probe = Probe(base, size=SMALL._replace(blocks=8))
    done = probe.finish(asked(base, "x"), replace(request_of(base, None, TURNS[2], most=2), id="y"))
    assert done["x"].reason is FinishReason.REFUSED
    assert "hold 32" in done["x"].error
    assert done["y"].reason is FinishReason.LENGTH


def test_a_request_beyond_the_context_is_refused(base):
    probe = Probe(base, size=SMALL._replace(blocks=400))
    done = probe.finish(asked(base, "x", most=500))["x"]
    assert "hold 512" in done.error


def test_the_longest_sequence_turns_no_other_one_otherwise():
    """Where the longest of a step decides how rotary positions turn (longrope, as in Phi-3's)."""
    rotary = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    base = tiny_base("phi3", rope_parameters=rotary, original_max_position_embeddings=64)
    words = TokenSegment(Role.USER, (70,) * (base.renderer.context_length - 1))
    longest = Request("longest", (words,), max_new_tokens=1)
    short = replace(request_of(base, None, TURNS[2], most=1), id="short")
    alone, beside = Probe(base), Probe(base, size=SMALL._replace(blocks=200, tokens=1024))
    alone.finish(short)
    assert beside.finish(longest, short)["longest"].error is None
    assert_close(beside.logits["short"], alone.logits["short"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segments": ()}, "empty prompt"),
        ({"max_new_tokens": 0}, 'asks for "0" new tokens'),
        ({"id": "x"}, 'a request "x" is already under way'),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(base, changes, words):
    probe = Probe(base)
    probe.submit(asked(base, "x"))
    with pytest.raises(SpecError, match=words):
        probe.submit(replace(asked(base, "y"), **changes))


def test_slots_are_not_given_away_before_they_were_used(base, lora):
    """Many adapters, one slot: each is loaded once."""
    adapters = {str(i): make_adapter(base, CONFIGS["lora"], Scope.PROMPT, seed=i) for i in range(6)}
    probe = Probe(base, adapters.__getitem__, SMALL._replace(slots=1))
    done = probe.finish(*(asked(base, name, name, most=2) for name in adapters))
    assert {d.reason for d in done.values()} == {FinishReason.LENGTH}
    assert probe.stats().adapter_loads == 6


def test_copies_of_adapters_that_decode_are_counted_and_go_with_them(base):
    lora = CONFIGS["lora"]
    adapters = {name: make_adapter(base, lora, Scope.ALL, seed=ord(name)) for name in "ab"}
    own = sum(v.nbytes for adapter in adapters.values() for v in adapter.weights.values())
    probe = Probe(base, adapters.__getitem__, SMALL._replace(tokens=256))
    while probe._slots.resident < len(adapters):  # so that all begin together
        for name in adapters:
            probe._slots.ready(name)
    for name in (*adapters, None):
        most = 3 if name else 9
        probe.submit(asked(base, str(name), name, most=most))
    held, done = [], set()
    while probe.busy:
        done |= {output.request_id for output in probe.step() if output.done}
        held.append((len(done), probe.stats().adapter_bytes_held))
    assert (0, 2 * own) in held
    last = [found for ended, found in held if ended >= 2]
    assert len(last) > 2, "the plain request goes on alone"
    assert not any(last[1:])
    probe.close()


def test_any_thread_may_ask_for_the_stats_while_adapters_come_and_go(base):
    lora = CONFIGS["lora"]
    adapters = {str(i): make_adapter(base, lora, Scope.ALL, seed=i) for i in range(8)}
    probe = Probe(base, adapters.__getitem__)
    faults: list[BaseException] = []
    ended = threading.Event()

    def monitor():
        while not ended.is_set():
            try:
                probe.stats()
            except Exception as error:  # whatever it is
                faults.append(error)

    every, watch = sys.getswitchinterval(), threading.Thread(target=monitor)
    sys.setswitchinterval(1e-6)
    watch.start()
    try:
        for _ in range(3):
            probe.finish(*(asked(base, name, name, most=2) for name in adapters))
    finally:
        ended.set()
        watch.join()
        sys.setswitchinterval(every)
    assert not faults
    probe.close()


@pytest.mark.parametrize("fails", [False, True])
def test_an_adapter_whose_request_was_cancelled_keeps_no_slot(base, lora, fails):
    """Found by random traffic: one slot, its adapter still coming, and nobody there to take it."""

    def load(name):
        if name == "first" and fails:
            raise AdapterError("damaged")
        return lora

    probe = Probe(base, load, SMALL._replace(slots=1))
    probe.submit(asked(base, "x", "first"))
    probe.step()
    probe.cancel("x")
    assert probe.finish(asked(base, "y", "second"))["y"].reason is FinishReason.LENGTH


def test_who_came_later_is_not_told_why_an_adapter_could_not_be_loaded_before(base, lora):
    damaged = {"a"}

    def load(name):
        if name in damaged:
            raise AdapterError("damaged")
        return lora

    probe = Probe(base, load)
    probe.submit(asked(base, "left", "a"))
    probe.step()
    probe.cancel("left")
    probe.step()
    damaged.clear()
    assert probe.finish(asked(base, "came", "a"))["came"].reason is FinishReason.LENGTH
    probe.close()


def test_generate_and_score_leave_nothing_behind_when_one_fails(base, lora):
    probe = Probe(base, {"a": lora}.__getitem__)
    with pytest.raises(Exception, match="hold"):
        probe.generate([asked(base, "x"), asked(base, "x", most=5000)])
    assert not probe.busy
    probe.check()
    same = probe.generate([asked(base, "x"), asked(base, "x")])
    assert [one.request_id for one in same] == ["x", "x"]


@pytest.mark.parametrize("name", ["lora", "dora", "bottleneck", "direft", "prefix_tuning"])
def test_in_16_bits_adapters_are_cast_once_and_mean_the_same(name):
    base = tiny_base()
    base.model.bfloat16()
    adapter = make_adapter(base, CONFIGS[name], Scope.PROMPT)
    probe = Probe(base, {"a": adapter}.__getitem__)
    probe.finish(asked(base, "x", "a", most=1))
    found = probe.logits["x"][0]
    injection = Injection(base)
    injection.mount("a", adapter)
    reference = Reference(injection, base.renderer.end_ids)

    def last(name):
        return reference.prefill(request_of(base, name), DynamicCache(config=base.model.config))[-1]

    # Both round, each where it is fastest: they are held to what the same weights give unrounded.
    rounded = last("a")
    base.model.float()
    for one in (found, rounded):
        assert_close(one.float(), last("a"), rtol=0, atol=0.05)
    assert float((last("a") - last(None)).abs().max()) > 0.2, "the adapter makes no difference"


def test_dora_reads_the_bases_matrices_when_it_is_loaded_and_at_no_step(base, monkeypatch):
    reads: list[object] = []
    matrix_of = dora.matrix_of
    monkeypatch.setattr(dora, "matrix_of", lambda module: reads.append(module) or matrix_of(module))
    adapter = make_adapter(base, CONFIGS["dora"], Scope.ALL)
    reads.clear()
    probe = Probe(base, {"a": adapter}.__getitem__)
    assert len(probe.finish(asked(base, "x", "a"))["x"].ids) > 2
    assert len(reads) == len(base.anatomy.linears)
    probe.close()


def test_after_a_step_that_failed_nothing_is_taken_up_again(base):
    probe = Probe(base)
    expected = probe.finish(asked(base, "x"))["x"]
    assert probe.stats().blocks_kept > 0
    probe.submit(asked(base, "y"))
    assert probe.abort() == ["y"]
    assert (probe.stats().blocks_kept, probe.stats().blocks_held) == (0, 0)
    again = probe.finish(asked(base, "x"))["x"]
    assert again == expected
    assert probe.stats().reused_tokens == 0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda probe: probe._scheduler.running[0].blocks.pop(), "held by nobody known"),
        (lambda probe: probe._slots.hold("lora"), "slots are held 2 times, by 1 sequences"),
        (lambda probe: probe._requests.pop("waits"), "1 requests are under way, and 2 run or wait"),
    ],
)
def test_books_that_are_wrong_are_found_and_told(base, damage, words):
    """By an error of its own: a plain ``assert`` is not there under ``python -O``."""
    everywhere = make_adapter(base, CONFIGS["lora"], Scope.ALL)
    probe = Probe(base, {"lora": everywhere}.__getitem__, SMALL._replace(sequences=1))
    probe.submit(asked(base, "runs", "lora"))
    while not probe._slots.holders:
        probe.step()
    probe.submit(asked(base, "waits"))
    probe.check()
    damage(probe)
    with pytest.raises(BooksAreWrong, match=words):
        probe.check()
