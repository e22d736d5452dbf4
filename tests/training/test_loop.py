"""The loop on a tiny base: what it learns, how it measures, when it stops, what it refuses."""

import errno
import math
import os
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from laws.cases import CONFIGS, VARIANTS
from pretune.adapters.files import load_adapter, save_adapter
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import TUNED, tuning
from pretune.bases.fakes import tiny_base
from pretune.core.errors import BusyError, DataError, StorageError, TrainingError, UnknownName
from pretune.core.files import folder_lock
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.engine.batch import BatchEngine
from pretune.spec.methods import LoraConfig
from pretune.spec.training import TrainSpec
from pretune.training.checkpoint import FILE_NAME
from pretune.training.history import StopReason, Validation
from pretune.training.loop import Start, train
from training.cases_training import OBJECTIVES, Recorder, objective_of, rows, run

SHORT = TrainSpec(epochs=2, batch_size=4, learning_rate=1e-2)
"""Six steps on twelve rows."""


def measure_with(base, examples, injection, adapter=TUNED):
    """A metric by real scoring: the mean log-probability of one answer."""
    engine = BatchEngine(injection, base.renderer.end_ids)
    requests = [Request(e.row_id, e.prompt, adapter) for e in examples]
    options = [(70, 71, 2), (80, 2)]
    scores = [score.log_probs[0] for score in engine.score(requests, options)]
    return {"score": sum(scores) / len(scores)}


class Scripted:
    """Measures what it is told to, in order."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def __call__(self):
        return {"f1": self.values.pop(0)}


@pytest.mark.parametrize(("name", "scope"), VARIANTS, ids=lambda value: str(value))
def test_every_method_learns(name, scope, tmp_path):
    base = tiny_base()
    examples = rows(base, 4)
    if scope is Scope.SUFFIX:
        examples = [
            replace(e, segments=(TokenSegment(Role.CONTEXT, (90, 91)), *e.segments))
            for e in examples
        ]
    spec = TrainSpec(epochs=12, batch_size=4, learning_rate=3e-2)
    result = run(tmp_path, spec, base=base, config=CONFIGS[name], scope=scope, examples=examples)
    assert result.curve[-1] < result.curve[0] - 0.2
    assert result.reason is StopReason.FINISHED
    assert (result.steps, result.epochs) == (12, 12.0)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_pieces_of_any_size_learn_the_same(kind, tmp_path):
    learn = {"objective": objective_of(kind, tmp_path)}
    whole = run(tmp_path / "whole", SHORT, **learn)
    pieces = run(tmp_path / "pieces", SHORT.model_copy(update={"micro_batch_size": 1}), **learn)
    # Rows differ in target tokens: a mean of means would differ in the second digit.
    assert pieces.curve == pytest.approx(whole.curve, rel=1e-5)
    for name, value in whole.adapter.weights.items():
        assert_close(pieces.adapter.weights[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", ["lora", "prefix_tuning", "direft", "full"])
def test_gradient_checkpointing_changes_nothing(family, name, tmp_path):
    base = tiny_base(family)
    scope = Scope.ALL if name == "full" else Scope.PROMPT
    options = {"base": base, "config": CONFIGS[name], "scope": scope}
    calls = []
    base.anatomy.linears[len(base.anatomy.linears) // 2].module.register_forward_hook(
        lambda *_: calls.append(1)
    )
    plain = run(tmp_path / "plain", SHORT, **options)
    few = len(calls)
    spec = SHORT.model_copy(update={"gradient_checkpointing": True})
    again = run(tmp_path / "again", spec, **options)
    assert len(calls) - few > few, "nothing was recomputed"
    assert again.curve == plain.curve
    assert not any(module.training for module in base.model.modules())


def test_dropout_of_the_base_is_off(tmp_path):
    curves = [
        run(tmp_path / kind, SHORT, base=tiny_base("gpt2", **dropout)).curve
        for kind, dropout in (
            ("with", {"resid_pdrop": 0.5, "attn_pdrop": 0.5, "embd_pdrop": 0.5}),
            ("without", {"resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}),
        )
    ]
    assert curves[0] == curves[1]


def test_bf16_learns_almost_the_same(tmp_path):
    full = run(tmp_path / "fp32", SHORT)
    half = run(tmp_path / "bf16", SHORT.model_copy(update={"precision": "bf16"}))
    assert half.curve != full.curve
    assert half.curve == pytest.approx(full.curve, rel=0.05)


def test_the_base_is_untouched(tmp_path):
    base = tiny_base()
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    for name, scope in (("lora", Scope.PROMPT), ("full", Scope.ALL)):
        run(tmp_path / name, SHORT, base=base, config=CONFIGS[name], scope=scope)
        for key, value in base.model.state_dict().items():
            assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", ["lora", "prefix_tuning-projected"])
def test_the_metric_is_that_of_the_saved_adapter(name, tmp_path):
    base = tiny_base()
    examples = rows(base, 12)
    spec = SHORT.model_copy(update={"evaluations_per_epoch": 3, "patience": 6})
    injection = Injection(base)
    with tuning(injection, CONFIGS[name], Scope.PROMPT) as tunable:
        validation = Validation(lambda: measure_with(base, examples, injection), "score")
        result = train(tunable, examples, spec, tmp_path / "run", validation=validation)
    assert [one.step for one in result.measurements] == [1, 2, 3, 4, 5, 6]
    assert result.best is not None
    loaded = load_adapter(save_adapter(result.adapter, tmp_path / "adapters"))
    fresh = tiny_base()
    injection = Injection(fresh)
    injection.mount("again", loaded)
    assert measure_with(fresh, examples, injection, "again") == result.best.metrics
    assert loaded.notes == {"step": result.best.step, "metrics": dict(result.best.metrics)}


def test_measuring_disturbs_nothing(tmp_path):
    def measure():
        torch.rand(3)
        return {"f1": 0.5}

    spec = SHORT.model_copy(update={"evaluations_per_epoch": 3, "patience": 9})
    torch.manual_seed(1)
    run(tmp_path / "a", spec, validation=Validation(measure, "f1"))
    after = torch.get_rng_state()
    torch.manual_seed(1)
    run(tmp_path / "b", SHORT)
    assert torch.equal(after, torch.get_rng_state())


def test_stops_early_and_keeps_the_best(tmp_path):
    spec = TrainSpec(epochs=9, batch_size=4, learning_rate=1e-2, patience=2)
    validation = Validation(Scripted(0.1, 0.6, 0.6, 0.5), "f1")
    result = run(tmp_path / "nine", spec, validation=validation)
    assert result.reason is StopReason.EARLY
    assert result.best == (6, {"f1": 0.6})
    assert result.steps == 12
    same_rate = TrainSpec(epochs=9, max_steps=27, batch_size=4, learning_rate=1e-2)
    other = run(tmp_path / "other", same_rate, validation=Validation(Scripted(*range(9)), "f1"))
    assert result.adapter.digest != other.adapter.digest


def test_lower_can_be_better(tmp_path):
    validation = Validation(Scripted(2.0, 1.0), "f1", higher_is_better=False)
    result = run(tmp_path, SHORT, validation=validation)
    assert result.best == (6, {"f1": 1.0})


def test_a_metric_that_is_no_number_is_never_the_best(tmp_path):
    result = run(tmp_path, SHORT, validation=Validation(Scripted(math.nan, 0.2), "f1"))
    assert result.best == (6, {"f1": 0.2})


def test_events(tmp_path):
    recorder = Recorder()
    validation = Validation(Scripted(0.5, 0.6), "f1")
    run(tmp_path, SHORT, validation=validation, sinks=[recorder])
    kinds = [event.kind.removeprefix("train.") for event in recorder.events]
    epoch = ["step"] * 3 + ["validation", "checkpoint"]
    assert kinds == ["start", *epoch, *epoch, "done"]
    step = recorder.of("train.step")[-1]
    assert step.step == 6
    assert set(step.values) == {
        "loss", "token_accuracy", "lr", "grad_norm", "tokens_per_second", "eta_s",
    }  # fmt: skip
    assert step.values["eta_s"] == 0
    assert recorder.of("train.validation")[0].values == {"f1": 0.5}
    assert recorder.of("train.done")[0].values["metrics"] == {"f1": 0.6}


def test_no_rows(tmp_path):
    with (
        tuning(Injection(tiny_base()), LoraConfig(rank=3), Scope.PROMPT) as tunable,
        pytest.raises(DataError, match="no training rows"),
    ):
        train(tunable, [], SHORT, tmp_path)


def test_nothing_to_learn(tmp_path):
    base = tiny_base()
    examples = [replace(e, segments=e.prompt) for e in rows(base, 2)]
    with pytest.raises(TrainingError, match=r"step 1: nothing to learn in rows .*made\.jsonl:2"):
        run(tmp_path, SHORT, base=base, examples=examples)


def test_no_gradient(tmp_path):
    base = tiny_base()
    # The only target is the first token, so that no adapted token stands before what predicts it.
    unadapted = TokenSegment(Role.TARGET, (70, 71, 72))
    examples = [replace(rows(base, 1)[0], segments=(unadapted,))]
    with pytest.raises(
        TrainingError, match=r'no gradient reaches any .* "lora" with scope "prompt"'
    ):
        run(tmp_path, SHORT, base=base, examples=examples)


def test_a_loss_that_is_not_finite_names_step_and_rows(tmp_path):
    base = tiny_base()
    examples = rows(base, 8)
    spec = TrainSpec(epochs=1, batch_size=2, learning_rate=1e-2, evaluations_per_epoch=4)
    recorder = Recorder()
    bad = torch.tensor([i for segment in examples[5].segments for i in segment.ids])

    def poison(_module, args, output):
        hit = (args[0][:, : len(bad)] == bad).all(1) if args[0].shape[1] >= len(bad) else []
        return output.masked_fill(hit[:, None, None], math.nan) if len(hit) else None

    base.anatomy.embedding.module.register_forward_hook(poison)
    with pytest.raises(TrainingError) as caught:
        run(
            tmp_path, spec, base=base, examples=examples, sinks=[recorder],
            validation=Validation(Scripted(0.1, 0.2, 0.3, 0.4), "f1"),
        )  # fmt: skip
    step = len(recorder.of("train.step")) + 1
    assert f'step {step}: the loss is "nan" on rows made.jsonl:' in str(caught.value)
    assert "made.jsonl:6" in str(caught.value)
    assert str(caught.value).count("made.jsonl:") == 2
    assert recorder.events[-1].kind == "train.failed"
    assert (tmp_path / FILE_NAME).exists() == (step > 1)


def test_an_unknown_metric(tmp_path):
    with pytest.raises(UnknownName, match='unknown metric "f2"; did you mean "f1"'):
        run(tmp_path, SHORT, validation=Validation(Scripted(0.5), "f2"))


def test_two_trainings_in_one_folder(tmp_path):
    with folder_lock(tmp_path, "training"), pytest.raises(BusyError, match="another process is"):
        run(tmp_path, SHORT)


def test_a_folder_that_holds_a_training(tmp_path):
    first = run(tmp_path, SHORT)
    with pytest.raises(BusyError, match=r"already holds a training \(finished, step 6\); resume"):
        run(tmp_path, SHORT)
    again = run(tmp_path, SHORT, start=Start.OVERWRITE)
    assert again.curve == first.curve
    resumed = run(tmp_path, SHORT, start=Start.RESUME)
    assert resumed.curve == first.curve
    assert resumed.adapter.digest == first.adapter.digest


def test_disk_full_keeps_the_earlier_checkpoint(tmp_path, monkeypatch):
    run(tmp_path, SHORT, validation=Validation(Scripted(0.5, 0.6), "f1"))
    before = (tmp_path / FILE_NAME).read_bytes()

    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    longer = SHORT.model_copy(update={"seed": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r'cannot write ".*": No space left on device; free'):
        run(tmp_path / "other", longer)
    assert list((tmp_path / "other").glob(".checkpoint*")) == []
    assert not (tmp_path / "other" / FILE_NAME).exists()
    assert (tmp_path / FILE_NAME).read_bytes() == before
