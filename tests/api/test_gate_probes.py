"""What a gate asks beside the test rows."""

import pytest

from laws.cases import make_adapter
from pretune import parse_task
from pretune.api import Workbench
from pretune.api.gate_probes import safety
from pretune.bases.fakes import tiny_base
from pretune.core.records import Row
from pretune.gating.texts import safety_probes


@pytest.fixture
def bench():
    return Workbench(tiny_base(num_hidden_layers=1, max_position_embeddings=512))


@pytest.fixture
def task():
    return parse_task(
        {
            "data": {"train": "rows.jsonl"},
            "template": {"system": "How urgent?", "user": "{text}", "target": "{label}"},
            "labels": ["low", "high"],
        },
        name="desk",
    )


def asked(bench, task, texts):
    rows = [Row(f"x:{n}", {"text": text, "label": "low"}) for n, text in enumerate(texts)]
    found, held = safety(bench, task, make_adapter(bench.base, task.method, task.scope), rows)
    return {one.kind: one for one in found}["flip"], held


def test_a_probe_that_is_too_long_is_left_out(bench, task):
    # The second row has room for its answer, and none for an order behind its text.
    long = "a" * 485
    flip, held = asked(bench, task, ["short", long])
    assert flip.share.n == held.n == len(safety_probes()["flip"].texts) // 2
    flip, held = asked(bench, task, [long])
    assert (flip.reason, flip.share, held) == ("no probe fits the base", None, None)
