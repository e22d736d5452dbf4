"""Advice is held to its evidence: change a figure, and it changes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pretune.core.errors import StorageError
from pretune.planning.adviser import Situation, advise
from pretune.planning.evidence import Quality, own_runs, shipped_evidence
from pretune.spec.methods import METHODS, BottleneckConfig, LoraConfig

ROOT = Path(__file__).parents[2]

MANY = Situation("classification", "tickets", rows=800, batch=32, width=256, tasks=30)
EXTRACT = Situation("generation", "extract", rows=800, batch=32, width=256)


def advice(situation, figures=None):
    found = advise(situation, shipped_evidence() if figures is None else figures)
    return {one.about: one for one in found}


def changed(**by_id):
    """The shipped evidence with some records' values replaced; records named ``None`` are gone."""
    ids = {one.id for one in shipped_evidence()}
    assert {name.replace("_", "-") for name in by_id} <= ids
    return [
        one.model_copy(update=by_id.get(one.id.replace("-", "_"), {}))
        for one in shipped_evidence()
        if by_id.get(one.id.replace("-", "_"), {}) is not None
    ]


def test_every_advice_has_evidence_with_a_source():
    for one in advise(MANY, shipped_evidence()):
        assert one.evidence, one.about
        assert all(figure.source for figure in one.evidence)


def test_ids_are_used_once():
    ids = [one.id for one in shipped_evidence()]
    assert len(ids) == len(set(ids))


QUALITY = re.compile(
    r"^\| (\w+)(?: tuning)?(?: [rk]=(\d+))?(?:, (all|prompt)[ a-z]*)? "
    r"\| (\S+) \((\S+) to (\S+)\) \| (\S+) \((\S+) to (\S+)\) \| ([\d,]+) \|",
    re.MULTILINE,
)
"""Method, its rank or length, its scope; value and interval on the two sets; trained weights."""


def test_the_quality_table_is_evidence_and_every_method_is_in_it():
    (*_, sst2, _, _, banking77, _, _, _), *rows = QUALITY.findall((ROOT / "README.md").read_text())
    table = set()
    for name, rank, scope, *numbers, weights in rows:
        method = f"{name}_tuning" if name in ("prefix", "prompt") else name
        said = int(rank) if "rank" in METHODS[method].model_fields else None
        counted = int(weights.replace(",", ""))
        for data, untuned, measured in (
            ("SST-2", sst2, numbers[:3]),
            ("BANKING77", banking77, numbers[3:]),
        ):
            values = map(float, (*measured, untuned))
            table.add((data, method, said, scope or "all", *values, counted))
    shipped = {
        (one.set, one.method, one.rank, one.scope, one.value, one.low, one.high, one.untuned,
         one.weights)
        for one in shipped_evidence()
        if one.source.startswith("README.md, Quality")
    }  # fmt: skip
    assert shipped == table
    assert {method for _, method, *_ in table} == set(METHODS)


def test_the_method_follows_the_table():
    assert advice(MANY)["method"].value == "lora"
    once = changed(sst2_prefix={"value": 0.85})
    assert advice(MANY, once)["method"].value == "lora"  # a mean of two sets
    better = changed(sst2_prefix={"value": 0.9}, banking77_prefix={"value": 0.85})
    assert advice(MANY, better)["method"].value == "prefix_tuning"
    assert advice(MANY, better)["scope"].value == "prompt"


@pytest.mark.parametrize("method", ["dora", "direft", "mam", "bottleneck", "prompt_tuning"])
def test_each_method_is_advised_where_it_is_clearly_better(method):
    assert f"{method} " in advice(MANY)["method"].reason
    name = method.replace("_", "-")
    better = [
        one.model_copy(update={"value": 0.9}) if one.id.endswith(f"-{name}") else one
        for one in shipped_evidence()
    ]
    found = advice(MANY, better)
    assert found["method"].value == method
    assert found["method"].reason.startswith("the highest mean")
    assert found["scope"].value == "prompt"


def test_of_methods_that_are_level_the_fewest_weights_are_advised():
    # dora: (0.811 + 0.810) / 2, 0.011 above lora's mean: 238,848 weights, not 224,256.
    found = advice(MANY)["method"]
    assert (found.value, "dora 0.810, " in found.reason) == ("lora", True)
    assert found.reason.startswith("the fewest weights level with the best mean")
    fewer = changed(sst2_dora={"weights": 200_000})
    assert advice(MANY, fewer)["method"].value == "dora"
    above = changed(sst2_dora={"value": 0.85}, banking77_dora={"value": 0.82})  # 0.035 above
    assert advice(MANY, above)["method"].value == "dora"


def test_where_nobody_counted_weights_the_best_of_the_level_is_advised():
    uncounted = [
        one.model_copy(update={"weights": None}) if isinstance(one, Quality) else one
        for one in shipped_evidence()
    ]
    found = advice(MANY, uncounted)["method"]
    assert (found.value, found.reason.startswith("the highest mean")) == ("dora", True)


def test_full_tuning_is_for_one_task_where_it_fits_and_is_clearly_better():
    alone = Situation("classification", "t", rows=800, batch=32, width=256)
    assert advice(alone)["method"].value == "lora"  # 0.800 and 0.823 are level
    better = changed(sst2_full={"value": 0.9})  # a mean of 0.867
    assert advice(alone, better)["method"].value == "full"
    assert advice(MANY, better)["method"].value == "lora"
    small = replace(alone, fits=frozenset({"lora", "dora"}))
    assert advice(small, better)["method"].value == "lora"


WORSE = {"payment_extract_prompt": {"value": 0.568}}
"""Where the prompt alone is worse: 0.764 on all tokens."""


def test_the_scope_weighs_quality_against_decode():
    assert advice(MANY)["scope"].value == "prompt"
    gap = {name: {"value": 0.9} for name in ("bank_intent_all", "news_sentiment_all")}
    assert advice(MANY, changed(**gap))["scope"].value == "all"
    assert advice(EXTRACT)["scope"].value == "prompt"  # 0.764 against 0.756
    assert advice(EXTRACT, changed(**WORSE))["scope"].value == "all"


def test_many_tasks_may_cost_quality_what_they_save_in_decode():
    gap = {"payment_extract_all": {"value": 0.756 + 0.084}}  # a mean of 0.042 over two sets
    many = Situation("generation", "extract", rows=800, batch=32, width=256, tasks=30)
    assert advice(EXTRACT, changed(**gap))["scope"].value == "all"
    assert advice(many, changed(**gap))["scope"].value == "prompt"
    free = changed(**gap, decode_all={"step_ms": 122})
    assert advice(many, free)["scope"].value == "all"


def test_more_rank_where_the_prompt_alone_is_worse():
    assert advice(MANY)["method.rank"].value == "8"
    many = Situation("generation", "extract", rows=800, batch=32, width=256, tasks=30)
    slower = changed(**WORSE, decode_all={"step_ms": 600})
    assert advice(many, slower)["scope"].value == "prompt"
    assert advice(many, slower)["method.rank"].value == "128"  # 108, to the next power of two


def test_the_rank_is_the_least_that_is_level_on_the_same_sets():
    # 8: (0.804 + 0.796) / 2; 32: (0.800 + 0.790) / 2.
    assert advice(MANY)["method.rank"].value == "8"
    assert "8: 0.800, 32: 0.795" in advice(MANY)["method.rank"].reason
    better = changed(sst2_lora_32={"value": 0.90})
    assert advice(MANY, better)["method.rank"].value == "32"
    elsewhere = changed(bank_intent_prompt={"value": 0.99, "rank": 16})  # a set of its own
    assert advice(MANY, elsewhere)["method.rank"].value == "8"


def test_what_decode_costs_is_said_only_where_it_was_measured():
    unknown = changed(decode_all=None)
    assert advice(MANY, unknown)["scope"].reason.endswith("what decode costs was not measured")


def test_the_rate_falls_with_the_reach_of_the_tasks_own_method():
    far = replace(MANY, method=LoraConfig(rank=32, alpha=64))
    assert advice(far)["train.learning_rate"].value == "0.00125"  # scale 2, 32 terms: a quarter
    assert "reaches further" in advice(far)["train.learning_rate"].reason
    other = replace(MANY, method=BottleneckConfig())  # not the advised one
    assert advice(other)["train.learning_rate"].value == "0.005"


def test_the_rate_is_the_best_measured_one_and_falls_with_the_width():
    assert advice(MANY)["train.learning_rate"].value == "0.005"
    better = changed(lora_2e_3={"value": 0.9})
    assert advice(MANY, better)["train.learning_rate"].value == "0.002"
    wide = Situation("classification", "t", rows=800, batch=32, width=1024, tasks=2)
    assert advice(wide)["train.learning_rate"].value == "0.00125"  # 0.005 x 256 / 1024


def test_epochs_follow_from_steps_that_were_enough():
    assert advice(MANY)["train.epochs"].value == "3"  # 75 steps of 25
    few = Situation("classification", "t", rows=200, batch=32, width=256)
    assert advice(few)["train.epochs"].value == "11"  # 75 / 7
    enough = changed(ticket_urgency_zh_2_epochs={"beyond": True})
    assert advice(MANY, enough)["train.epochs"].value == "2"


def test_bf16_where_the_device_is_fast_at_it():
    fast = Situation("classification", "t", rows=800, batch=32, width=256, fast_bf16=True)
    assert advice(fast)["train.precision"].value == "auto"
    assert advice(fast, changed(lora_bf16={"step_ms": 470}))["train.precision"].value == "fp32"
    assert "train.precision" not in advice(MANY)


def test_weights_that_cannot_be_reached():
    away = Situation("classification", "t", rows=800, batch=32, width=256, reachable=False)
    found = advice(away)
    assert list(found) == ["method"]
    assert found["method"].value == "none"
    assert "pretune data distil" in found["method"].reason


def own(method, value):
    return Quality(
        id=method, source="own", task="classification", set="tickets", rows=800, epochs=3,
        method=method, scope="prompt", metric="macro_f1", value=value,
    )  # fmt: skip


def test_own_runs_of_this_task_come_first():
    figures = [*shipped_evidence(), own("lora", 0.6), own("bottleneck", 0.7)]
    assert advice(MANY, figures)["method"].value == "bottleneck"
    other = Situation("classification", "mails", rows=800, batch=32, width=256, tasks=30)
    assert advice(other, figures)["method"].value == "lora"


def test_own_runs_advise_no_method_that_does_not_fit_or_not_many_tasks():
    runs = [own("lora", 0.6), own("bottleneck", 0.65), own("full", 0.7)]
    figures = [*shipped_evidence(), *runs]
    assert advice(replace(MANY, tasks=1), figures)["method"].value == "full"
    assert advice(MANY, figures)["method"].value == "bottleneck"
    small = replace(MANY, fits=frozenset(METHODS) - {"full", "bottleneck"})
    assert advice(replace(small, tasks=1), figures)["method"].value == "lora"


def test_a_folder_of_runs(tmp_path):
    run = tmp_path / "runs" / "one"
    (run / "data").mkdir(parents=True)
    (run / "task.yaml").write_text(
        "name: tickets\ndata: {train: rows.jsonl}\nlabels: [a, b]\n"
        'template: {system: "?", user: "{text}", target: "{label}"}\n'
    )
    (run / "data" / "report.json").write_text('{"splits": {"train": {"kept": 7}}}')
    record = {"method": "lora", "scope": "prompt", "validation": {"accuracy": 0.7}}
    (run / "run.json").write_text(json.dumps(record))
    (found,) = own_runs(tmp_path)
    assert (found.set, found.rows, found.value, found.rank) == ("tickets", 7, 0.7, 8)
    (run / "run.json").write_text(json.dumps(record | {"reason": "interrupted"}))
    assert own_runs(tmp_path) == ()
    (run / "run.json").write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        own_runs(tmp_path)
    with pytest.raises(StorageError, match="is no folder of runs"):
        own_runs(tmp_path / "rnus")
