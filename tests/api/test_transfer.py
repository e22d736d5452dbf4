"""Beginning with an adapter, and finding whose: similarity measured, others passed over."""

import json

import pytest

import pretune
from api.cases_tuning import SMALL, Heard
from pretune.api import transfer
from pretune.api.workbench import Workbench
from pretune.bases.fakes import save_tiny
from pretune.core.errors import AdapterError, BusyError, StorageError
from pretune.data.dataset import prepare
from pretune.search.records import Fate
from pretune.spec.dump import dump_task
from pretune.spec.task import load_task, parse_task

pytest.importorskip("optuna")


def long(task, **changes):
    """Trained until it knows its rows."""
    train = {"learning_rate": 0.02, "epochs": 16, "patience": 99}
    return task.model_copy(update={"train": task.train.model_copy(update=train)} | changes)


@pytest.fixture
def registry(task, tmp_path):
    """Tasks that were trained: the same rows under another name, and their opposite."""
    pretune.train(long(task, name="twin"), tmp_path / "twin")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    other = {"yes": "no", "no": "yes"}
    swapped = [row | {"label": other[row["label"]]} for row in rows]
    (tmp_path / "swapped").mkdir()
    (tmp_path / "swapped/rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in swapped))
    data = task.data.model_copy(update={"train": (tmp_path / "swapped/rows.jsonl",)})
    pretune.train(long(task, name="opposite", data=data), tmp_path / "opposite")
    for name in ("twin", "opposite"):
        pretune.register(tmp_path / name, tmp_path / "registry")
    return tmp_path / "registry"


def test_a_training_begins_where_the_adapter_was(task, tmp_path):
    run = pretune.train(long(task), tmp_path / "first")
    begun = task.model_copy(update={"begin_with": tmp_path / "first"})
    heard, plain = Heard(), Heard()
    again = pretune.train(begun, tmp_path / "begun", sinks=[heard])
    pretune.train(task, tmp_path / "plain", sinks=[plain])

    def first_loss(sink):
        return next(one.values["loss"] for one in sink.events if one.kind == "train.step")

    assert first_loss(heard) < 0.5 * first_loss(plain)
    assert again.adapter.notes["begun_with"] == run.adapter.digest
    # The task file says it, from wherever it lies.
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/task.yaml").write_text(dump_task(begun, tmp_path / "deep"))
    found = load_task(tmp_path / "deep/task.yaml")
    assert found.begin_with.resolve() == (tmp_path / "first").resolve()
    assert begun.digest() != task.digest()
    with pytest.raises(pretune.core.errors.TrainingError, match="cannot resume: begin_with was"):
        pretune.train(task, tmp_path / "begun", start=pretune.training.loop.Start.RESUME)


def test_what_does_not_fit_is_refused_with_the_reason(task, tmp_path):
    pretune.train(task, tmp_path / "first")
    wide = {"name": "lora", "rank": 4}
    for change, what in (
        ({"method": wide}, "its method is"),
        ({"scope": "all"}, 'its scope is "prompt" and the task says "all"'),
    ):
        value = {"begin_with": tmp_path / "first", "base": task.base, "data": task.data} | change
        known = {"template": task.template, "labels": task.labels, "method": task.method}
        other = parse_task({"name": "desk", **known, **value})
        with pytest.raises(AdapterError, match=what):
            pretune.train(other, tmp_path / "second")
    nothing = task.model_copy(update={"begin_with": tmp_path / "none"})
    with pytest.raises(AdapterError, match="no adapter at"):
        pretune.train(nothing, tmp_path / "second")


def test_a_projection_that_was_not_kept_cannot_be_begun_with(task, tmp_path):
    method = {"name": "prefix_tuning", "length": 4, "projection": 8}
    config = type(task)._method_from_name(method)
    spec = parse_task(
        {
            "name": "desk",
            "base": task.base,
            "data": task.data,
            "template": task.template,
            "labels": task.labels,
            "method": config,
            "train": {"max_steps": 2},
        }
    )
    pretune.train(spec, tmp_path / "first")
    begun = spec.model_copy(update={"begin_with": tmp_path / "first"})
    with pytest.raises(AdapterError, match="was trained and not kept"):
        pretune.train(begun, tmp_path / "second")


def test_similarity_is_the_share_of_the_loss_that_an_adapter_takes_away(task, registry, tmp_path):
    workbench = Workbench.open(task.base)
    rows = prepare(task, workbench.base.renderer).train
    found = transfer.find_similar(registry, "desk", workbench, rows, 2, tmp_path / "similar")
    assert found.similar[0].task == "twin"
    twin = found.similar[0]
    bare = transfer.loss_on(workbench, rows, None)
    adapter = transfer.load_adapter(dict(found.beginnings)[twin.begin].folder)
    after = transfer.loss_on(workbench, rows, adapter)
    assert twin.similarity == pytest.approx((bare - after) / bare, abs=0.02)
    assert twin.similarity > 0.5
    # The loss is the training's own: the first step of a training from this adapter loses as much.
    spec = task.model_copy(update={"begin_with": tmp_path / "twin"})
    one_step = spec.train.model_copy(update={"batch_size": len(rows), "max_steps": 1})
    heard = Heard()
    spec = spec.model_copy(update={"train": one_step})
    pretune.train(spec, tmp_path / "check", sinks=[heard])
    step = next(one for one in heard.events if one.kind == "train.step")
    assert step.values["loss"] == pytest.approx(after, rel=1e-4)


def test_what_was_found_once_stays_when_the_registry_changes(task, registry, tmp_path):
    workbench = Workbench.open(task.base)
    rows = prepare(task, workbench.base.renderer).train
    folder = tmp_path / "similar"
    found = transfer.find_similar(registry, "desk", workbench, rows, 1, folder)
    assert len(found.similar) == 1
    assert found.passed
    pretune.train(long(task, name="third"), tmp_path / "third")
    pretune.register(tmp_path / "third", registry)
    assert transfer.find_similar(registry, "desk", workbench, rows, 1, folder) == found
    # The task itself is no similar task.
    own = transfer.find_similar(registry, "twin", workbench, rows, 5, tmp_path / "other")
    assert "twin" not in [one.task for one in own.similar]


def test_another_base_is_passed_over_and_no_registry_is_said(task, registry, tmp_path):
    other = save_tiny(tmp_path / "wider", num_hidden_layers=2)
    workbench = Workbench.open(task.base.model_copy(update={"name": str(other)}))
    rows = prepare(task, workbench.base.renderer).train
    found = transfer.find_similar(registry, "desk", workbench, rows, 2, tmp_path / "similar")
    assert found.similar == ()
    assert found.passed == ("opposite: of another base", "twin: of another base")
    with pytest.raises(StorageError):
        transfer.find_similar(tmp_path / "none", "desk", workbench, rows, 2, tmp_path / "x")


def test_a_search_begins_with_a_similar_task(task, registry, tmp_path):
    spec = SMALL.model_copy(update={"trials": 4, "similar": 1})
    found = pretune.tune(task, tmp_path / "out", spec, registry=registry)
    begun = [one for one in found.trials if one.why.startswith("begun with the adapter of twin")]
    assert len(begun) == 1
    assert begun[0].fate is Fate.FINISHED
    assert begun[0].knobs["begin with"].startswith("twin@")
    assert any(one.why.startswith("the recipe of twin") for one in found.trials)
    assert begun[0].value > found.trials[0].value  # it knows the rows already
    assert found.best == begun[0]
    again = pretune.train(load_task(found.spec), tmp_path / "again")
    assert again.result.best.metrics == found.best.metrics
    with pytest.raises(BusyError, match='other "registry"'):
        pretune.tune(task, tmp_path / "out", spec)
