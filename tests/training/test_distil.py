"""Learning a teacher's probabilities: the loss and its gradient against a plain, slow statement of
Hinton et al., over every method and scope, and what is refused."""

import json
import math
from dataclasses import replace

import pytest
import torch

from laws.cases import CONFIGS, VARIANTS
from pretune.adapters.injection import Injection
from pretune.adapters.tunable import TUNED, tuning
from pretune.bases.fakes import tiny_base
from pretune.core.errors import DataError, SpecError
from pretune.core.records import Request
from pretune.core.scope import Scope
from pretune.core.segments import Role, TokenSegment
from pretune.data.softlabels import SoftHeader, SoftKind, SoftLabels
from pretune.engine.batch import BatchEngine
from pretune.engine.forward import routing_of, target_logits
from pretune.spec.methods import LoraConfig
from pretune.spec.training import TrainSpec
from pretune.training.objectives.distil import (
    Softening,
    distil_labels,
    distil_tokens,
    divergence,
    masses,
)
from pretune.training.objectives.sft import SFT
from training.cases_training import (
    ANSWERS,
    Recorder,
    objective_of,
    options,
    rows,
    run,
    soft_labels,
    written,
)

SPEC = TrainSpec(max_steps=1, batch_size=12)


def labels_file(folder, base, examples, names=ANSWERS):
    header = SoftHeader(SoftKind.LABELS, "random", labels=tuple(names))
    return soft_labels(folder / "soft.jsonl", header, examples)


def tokens_file(folder, base, examples, top=5):
    header = SoftHeader(SoftKind.TOKENS, "random", tokenizer=base.renderer.digest)
    return soft_labels(folder / "soft.jsonl", header, examples, top)


def moved(tunable):
    """Parameters that make a difference."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in tunable.parameters.values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def gradients(tunable, loss):
    loss.backward()
    found = {name: p.grad.clone() for name, p in tunable.parameters.items()}
    for parameter in tunable.parameters.values():
        parameter.grad = None
    return found


def losing(tunable, objective, examples):
    """The objective's loss of one piece, and its gradients."""
    piece = objective.collate(tunable, examples)
    with tunable.injection.routed(routing_of(piece.batch, tunable.mounted)):
        loss = objective.loss(tunable.injection, piece)
        return piece, loss, gradients(tunable, loss.total)


def plain_log_probs(tunable, example):
    """Log-probabilities ``(targets, vocabulary)`` of a row that is alone in its batch."""
    piece = SFT.collate(tunable, [example])
    with tunable.injection.routed(routing_of(piece.batch, tunable.mounted)):
        return target_logits(tunable.injection, piece.batch).logits.log_softmax(1)


def slow(hard, student, teacher, t, w):
    """Section 2 of the paper, term by term: numbers of one distribution each. In double precision,
    as a long label of an untuned base has a probability that float32 does not know."""
    ours = [torch.exp(x.double() / t) for x in student]
    theirs = [math.exp(x / t) for x in teacher]
    ours = [x / sum(ours) for x in ours]
    theirs = [x / sum(theirs) for x in theirs]
    soft = sum(q * (math.log(q) - torch.log(p)) for q, p in zip(theirs, ours, strict=True))
    return (1 - w) * hard + w * t * t * soft


@pytest.mark.parametrize(("t", "w"), [(1.0, 1.0), (3.0, 0.4)])
def test_labels_against_a_plain_formula(t, w, tmp_path):
    base = tiny_base()
    examples, labels = rows(base, 5), options(base)
    soft = labels_file(tmp_path, base, examples, reversed(ANSWERS))
    stored = {
        line["row"]: dict(zip(reversed(ANSWERS), line["scores"], strict=True))
        for line in map(json.loads, soft.path.read_text().splitlines()[1:])
    }
    with tuning(Injection(base), LoraConfig(rank=3), Scope.PROMPT) as tunable:
        moved(tunable)
        objective = distil_labels(soft, labels, Softening(t, w))
        piece, loss, ours = losing(tunable, objective, examples)
        total = torch.tensor(0.0)
        for example in examples:
            scores = {}
            for label, ids in labels.items():
                asked = replace(example, segments=(*example.prompt, TokenSegment(Role.TARGET, ids)))
                log_probs = plain_log_probs(tunable, asked)
                scores[label] = sum(log_probs[i, token] for i, token in enumerate(ids))
            teacher = [stored[example.row_id][label] for label in labels]
            total = total + slow(-scores[example.label], [*scores.values()], teacher, t, w)
        expected = gradients(tunable, total)
    assert piece.weight == sum(len(written(one)) for one in examples)
    assert loss.total.item() == pytest.approx(total.item(), rel=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-5)
    assert any(bool(value.abs().max() > 1e-3) for value in expected.values())


@pytest.mark.parametrize(("t", "w"), [(1.0, 1.0), (3.0, 0.4)])
def test_tokens_against_a_plain_formula(t, w, tmp_path):
    base = tiny_base()
    examples = rows(base, 3)
    soft = tokens_file(tmp_path, base, examples, top=3)
    stored = {line["row"]: line for line in map(json.loads, soft.path.read_text().splitlines()[1:])}
    with tuning(Injection(base), LoraConfig(rank=3), Scope.PROMPT) as tunable:
        moved(tunable)
        objective = distil_tokens(soft, base.renderer.digest, Softening(t, w))
        piece, loss, ours = losing(tunable, objective, examples)
        total = torch.tensor(0.0)
        for example in examples:
            log_probs = plain_log_probs(tunable, example)
            line = stored[example.row_id]
            for i, token in enumerate(written(example)):
                ids = line["ids"][i]
                others = [k for k in range(log_probs.shape[1]) if k not in ids]
                student = [*log_probs[i, ids], torch.log(log_probs[i, others].exp().sum())]
                total = total + slow(-log_probs[i, token], student, line["scores"][i], t, w)
        expected = gradients(tunable, total)
    assert piece.weight == piece.batch.target_tokens
    assert loss.total.item() == pytest.approx(total.item(), rel=1e-5)
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "scope"), VARIANTS, ids=lambda value: str(value))
def test_what_is_trained_is_what_is_served(name, scope, tmp_path):
    """The distribution under the loss is the scorer's: a teacher that is the student costs
    nothing, and another one does."""
    base = tiny_base()
    examples, labels = rows(base, 4), options(base)
    if scope is Scope.SUFFIX:
        context = TokenSegment(Role.CONTEXT, (90, 91))
        examples = [replace(e, segments=(context, *e.segments)) for e in examples]
    with tuning(Injection(base), CONFIGS[name], scope, text="Say it.") as tunable:
        moved(tunable)
        engine = BatchEngine(tunable.injection, base.renderer.end_ids)
        requests = [Request(one.row_id, one.prompt, TUNED) for one in examples]
        served = engine.score(requests, list(labels.values()))
        bare = engine.score([replace(one, adapter=None) for one in requests], [*labels.values()])
        assert served[0].log_probs != bare[0].log_probs or name == "full"
        soft = labels_file(tmp_path, base, examples)
        other = distil_labels(soft, labels, Softening(2.0, 1.0))
        assert float(losing(tunable, other, examples)[1].values["soft"]) > 0.1
        lines = soft.path.read_text().splitlines()
        for i, one in enumerate(served):
            line = json.loads(lines[i + 1]) | {"scores": one.log_probs}
            lines[i + 1] = json.dumps(line)
        soft.path.write_text("\n".join(lines) + "\n")
        itself = distil_labels(SoftLabels(soft.path), labels, Softening(2.0, 1.0))
        _, loss, gradient = losing(tunable, itself, examples)
    assert abs(loss.total.item()) < 1e-5
    assert all(float(value.abs().max()) < 1e-3 for value in gradient.values())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_a_teacher_that_is_the_student_costs_nothing(temperature):
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    ids = logits.topk(4, dim=1).indices
    same = masses(logits, ids)
    assert same.exp().sum(1).tolist() == pytest.approx([1.0] * 6)
    assert divergence(same, same.clone(), temperature).abs().max() < 1e-6
    other = masses(logits.flip(0), ids)
    assert divergence(other, same, temperature).min() > 1e-3


def test_a_soft_loss_of_no_weight_is_sft(tmp_path):
    first = []
    for kind in ("sft", "distil-labels", "distil-tokens"):
        recorder = Recorder()
        objective = objective_of(kind, tmp_path, Softening(2.0, 1e-9))
        run(tmp_path / kind, SPEC, sinks=[recorder], objective=objective)
        first.append(recorder.of("train.step")[0].values)
    for values in first[1:]:
        assert values["loss"] == pytest.approx(first[0]["loss"], rel=1e-5)
        assert values["grad_norm"] == pytest.approx(first[0]["grad_norm"], rel=1e-4)
        assert values["hard"] == pytest.approx(values["loss"], rel=1e-5)
        assert values["soft"] > 0.1


@pytest.mark.parametrize("kind", ["distil-labels", "distil-tokens"])
def test_students_come_nearer_to_their_teacher(kind, tmp_path):
    recorder = Recorder()
    spec = TrainSpec(epochs=20, batch_size=12, learning_rate=3e-2)
    objective = objective_of(kind, tmp_path, Softening(1.0, 1.0))
    run(tmp_path / "run", spec, sinks=[recorder], objective=objective)
    soft = [event.values["soft"] for event in recorder.of("train.step")]
    assert soft[-1] < 0.8 * soft[0]


@pytest.mark.parametrize(
    ("temperature", "weight", "words"),
    [
        (0.0, 0.9, 'temperature "0.0" is not above 0'),
        (math.nan, 0.9, 'temperature "nan"'),
        (2.0, 0.0, 'weight "0.0" is not above 0 and at most 1'),
        (2.0, 1.5, 'weight "1.5"'),
    ],
)
def test_a_softening_that_means_nothing(temperature, weight, words):
    with pytest.raises(SpecError, match=words):
        Softening(temperature, weight)


def test_a_teacher_of_other_labels(tmp_path):
    base = tiny_base()
    soft = labels_file(tmp_path, base, rows(base, 2), ("4%", "none", "maybe"))
    with pytest.raises(
        DataError,
        match='about other labels: the teacher alone has "maybe"; the task alone has "yes, until',
    ):
        distil_labels(soft, options(base), Softening())


def test_a_teacher_of_other_tokens(tmp_path):
    base = tiny_base()
    header = SoftHeader(SoftKind.TOKENS, "random", tokenizer="feedbeef" * 8)
    soft = soft_labels(tmp_path / "soft.jsonl", header, rows(base, 2))
    with pytest.raises(DataError, match=r'another tokenizer .*"feedbeeffeed".* token 17 of one'):
        distil_tokens(soft, base.renderer.digest, Softening())


def test_distributions_of_the_other_kind(tmp_path):
    base = tiny_base()
    tokens = tokens_file(tmp_path, base, rows(base, 2))
    with pytest.raises(DataError, match="over tokens, and this task has labels"):
        distil_labels(tokens, options(base), Softening())
    labels = labels_file(tmp_path, base, rows(base, 2))
    with pytest.raises(DataError, match="over labels, and this task has none"):
        distil_tokens(labels, base.renderer.digest, Softening())


def test_a_row_whose_answer_has_other_tokens(tmp_path):
    base = tiny_base()
    examples = rows(base, 2)
    soft = tokens_file(tmp_path, base, examples)
    (_, other) = examples
    other = replace(other, segments=(*other.prompt, TokenSegment(Role.TARGET, (70, 2))))
    with (
        tuning(Injection(base), LoraConfig(rank=3), Scope.PROMPT) as tunable,
        pytest.raises(DataError, match=r"row made\.jsonl:2 has other answer tokens"),
    ):
        distil_tokens(soft, base.renderer.digest, Softening()).collate(tunable, [other])
