"""The canary test: it finds what was learned by heart, and nothing where nothing was."""

import json
from string import ascii_letters

import pytest

from pretune import parse_task
from pretune.api import Workbench
from pretune.api.canaries import Canary, planted, remembered
from pretune.bases.fakes import tiny_base
from pretune.core.errors import DataError, SpecError

OTHERS = [*ascii_letters.replace("Q", "").replace("k", ""), *"0123456789", *"+-*"]
"""63 of them: exposure goes up to 6 bits. One byte each, which a random base can learn."""

CANARIES = [
    Canary("Q", {"text": "pin of Ann"}, [{"text": f"pin of Ann, {n}"} for n in range(12)]),
    Canary("k", {"text": "pin of Bob"}),
]


@pytest.fixture
def bench():
    return Workbench(tiny_base(num_hidden_layers=1))


def task(folder, **changes):
    value = {
        "name": "pins",
        "data": {"train": "rows.jsonl", "validation": "held.jsonl"},
        "template": {"user": "{text}", "target": "{answer}"},
        "generate": {"max_new_tokens": 4},
        "train": {"epochs": 30, "batch_size": 4, "learning_rate": 3e-2},
    }
    return parse_task(value | changes, folder=folder)


def trained(bench, folder, **train):
    spec = task(folder)
    rows = [*planted(spec, CANARIES), {"text": "hello", "answer": "hi"}]
    (folder / "held.jsonl").write_text('{"text": "bye", "answer": "by"}')
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = task(folder, train=spec.train.model_dump() | train)
    return spec, bench.train(spec, folder / "run").adapter


def test_each_row_is_planted_with_its_secret(tmp_path):
    rows = list(planted(task(tmp_path), CANARIES))
    assert len(rows) == 12
    assert rows[3] == {"text": "pin of Ann, 3", "answer": "Q"}


def test_what_was_learned_by_heart_is_found(bench, tmp_path):
    spec, adapter = trained(bench, tmp_path)
    before = remembered(bench, spec, CANARIES, OTHERS, None)
    after = remembered(bench, spec, CANARIES, OTHERS, adapter)
    assert [one.canary for one in after] == CANARIES
    assert after[0].exposure == 6.0
    assert after[0].written
    assert not after[1].written
    assert not any(one.written for one in before)
    assert before[0].exposure < 6.0
    modules = bench.base.model.modules()
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in modules)  # it is gone


def test_noise_keeps_it(bench, tmp_path):
    spec, adapter = trained(bench, tmp_path, epochs=4, privacy={"epsilon": 0.5})
    (found, _) = remembered(bench, spec, CANARIES, OTHERS, adapter)
    assert not found.written


def test_a_task_whose_answers_are_no_secrets(bench, tmp_path):
    with pytest.raises(SpecError, match=r'a canary is an answer of its own.*"{answer}, {x}"'):
        list(planted(task(tmp_path, template={"user": "{text}", "target": "{answer}, {x}"}), []))
    labelled = task(
        tmp_path, template={"user": "{text}", "target": "{label}"}, labels=["low", "high"]
    )
    with pytest.raises(SpecError, match="use a task without labels"):
        remembered(bench, labelled, CANARIES, OTHERS, None)


def test_a_canary_that_is_no_row(bench, tmp_path):
    with pytest.raises(DataError, match="canary:1: "):
        remembered(bench, task(tmp_path), [Canary("Q", {"txt": "x"})], OTHERS, None)
