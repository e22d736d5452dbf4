"""Decode as captured graphs, as far as it can be told without a GPU: the same step, padded, over
fixed memory; and code that a CUDA graph can hold, on every family.

What is captured is repeated by running it again into the same tensor.
"""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from engine.test_fused import HOSTS, noisy, requests_of, together
from laws.cases import CONFIGS, make_adapter
from laws.probe import SMALL, Probe
from pretune.bases.fakes import FAMILIES, tiny_base
from pretune.core.scope import Scope
from pretune.engine.graphs import DecodeGraphs, Replay, Row, bucket_of


def repeated(run: Replay) -> Replay:
    """Like a captured graph: runs over the same memory, into the same memory."""
    result = run().clone()

    def replay() -> torch.Tensor:
        return result.copy_(run())

    return replay


class Captured(Probe):
    """Decodes by graphs, and counts the steps that do."""

    def __init__(self, *args, capture=repeated, fused=True, **options) -> None:
        super().__init__(*args, **options)
        runner = self._runner
        if not fused:
            runner._fused = None
        runner.graphs = DecodeGraphs(self._memory, runner._decode, capture)
        self.replayed = 0
        run = runner.graphs.run

        def counted(rows):
            logits = run(rows)
            self.replayed += logits is not None
            return logits

        runner.graphs.run = counted


def same(found: Probe, expected: Probe) -> None:
    assert found.logits.keys() == expected.logits.keys()
    for name, logits in expected.logits.items():
        assert_close(torch.stack(found.logits[name]), torch.stack(logits), rtol=1e-4, atol=2e-5)
        assert_close(found.kv[name], expected.kv[name], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("host", HOSTS)
def test_a_replayed_step_is_the_step(host, fused):
    """Three sequences in a bucket of four, of unlike lengths, windows included."""
    family, changes = HOSTS[host]
    base = noisy(tiny_base(family, **changes))
    probe, plain = Captured(base, fused=fused), Probe(base)
    done, expected = together(probe, *requests_of(base)), together(plain, *requests_of(base))
    assert probe.replayed > 4
    assert done == expected
    same(probe, plain)
    scratch = [pool[probe._memory.scratch] for pool in probe._memory.layers]
    assert all(bool(pool.any()) for pool in scratch), "nothing filled the bucket up"
    assert not any(bool(pool[probe._memory.blank].any()) for pool in probe._memory.layers)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"llama"}))
def test_every_family_replays(family):
    base = noisy(tiny_base(family))
    probe, plain = Captured(base), Probe(base)
    assert together(probe, *requests_of(base)) == together(plain, *requests_of(base))
    assert probe.replayed > 4
    same(probe, plain)


def test_tasks_decode_by_the_graphs_of_the_base():
    base = tiny_base()
    names = ("lora", "bottleneck", "prefix_tuning")
    adapters = {name: make_adapter(base, CONFIGS[name], Scope.PROMPT) for name in names}
    size = SMALL._replace(tokens=512)
    probe, plain = (kind(base, adapters.__getitem__, size) for kind in (Captured, Probe))
    requests = requests_of(base, *names)
    untuned = [replace(r, id=f"base-{r.id}", adapter=None) for r in requests]
    together(probe, *untuned)
    graphs, before = set(probe._runner.graphs._buckets), probe.replayed
    done, expected = together(probe, *requests), together(plain, *requests)
    assert probe.replayed - before == before >= 8, "all but the prompts"
    assert set(probe._runner.graphs._buckets) == graphs
    assert probe.stats().graphs == len(graphs)
    assert done == expected
    probe.close()
    plain.close()


def test_steps_in_which_an_adapter_acts_are_not_replayed():
    base = tiny_base()
    adapter = make_adapter(base, CONFIGS["lora"], Scope.ALL)
    probe, plain = (kind(base, {"a": adapter}.__getitem__) for kind in (Captured, Probe))
    requests = requests_of(base, "a", None, "a")
    assert together(probe, *requests) == together(plain, *requests)
    assert probe.replayed == 0
    same(probe, plain)
    probe.close()
    plain.close()


def test_a_hook_of_somebody_else_is_heard():
    base = tiny_base()
    probe, calls = Captured(base, fused=False), []
    handle = base.model.base_model.layers[0].mlp.register_forward_hook(lambda *_: calls.append(1))
    probe.finish(*requests_of(base)[:1])
    assert (probe.replayed, len(calls)) == (0, 9)
    handle.remove()


def test_one_token_pieces_of_a_prompt_want_no_logits():
    base = tiny_base()
    probe, plain = (kind(base, size=SMALL._replace(tokens=2)) for kind in (Captured, Probe))
    requests = requests_of(base)[1:]
    for request in requests:
        probe.submit(request)
        plain.submit(request)
    while plain.busy:
        plain.step()
        probe.step()
    assert any(piece.stop < piece.sequence.prompt for pieces in probe.pieces for piece in pieces)
    assert probe.replayed > 4
    same(probe, plain)


def test_where_it_cannot_be_captured_decode_goes_on_without():
    def fails(run: Replay) -> Replay:
        run()
        raise RuntimeError("operation not permitted when stream is capturing")

    base = tiny_base()
    probe, plain = Captured(base, capture=fails), Probe(base)
    assert together(probe, *requests_of(base)) == together(plain, *requests_of(base))
    assert (probe.replayed, probe.stats().graphs) == (0, 0)
    assert "cannot be captured: operation not permitted" in probe.stats().eager
    same(probe, plain)
    assert (plain.stats().graphs, plain.stats().eager) == (0, None)


def row(blocks: int) -> Row:
    return Row(1, 0, [0] * blocks)


@pytest.mark.parametrize(
    ("blocks", "bucket"),
    [
        ([1], (1, 8)),
        ([3] * 5, (8, 8)),
        ([3] * 9, (16, 8)),
        ([9] * 32, (32, 16)),
        ([16] * 33, (40, 16)),
        ([100, 1], (2, 128)),
        ([900] + [2] * 7, None),  # 8 * 1024 of which 914 are real
        ([900] * 4 + [450] * 4, (8, 1024)),
    ],
)
def test_buckets(blocks, bucket):
    assert bucket_of([row(count) for count in blocks]) == bucket


def test_a_long_sequence_beside_short_ones_is_not_padded_for():
    base = tiny_base(max_position_embeddings=4096)
    probe = Captured(base)
    graphs = probe._runner.graphs
    assert graphs.run([row(900), *[row(2)] * 7]) is None
    assert graphs.reason is None
