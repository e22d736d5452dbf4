"""The supervised loss against transformers' own and TRL's definition, on the same rows."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from pretune.adapters.injection import Injection
from pretune.adapters.tunable import tuning
from pretune.bases.fakes import tiny_base
from pretune.core.errors import UnknownName
from pretune.core.scope import Scope
from pretune.spec.methods import LoraConfig
from pretune.spec.training import TrainSpec
from pretune.training.objectives import objective
from pretune.training.objectives.sft import SFT
from training.cases_training import Recorder, rows, run


def padded(examples):
    """Ids and labels of whole rows, as other libraries take them: a label under its own token."""
    width = max(map(len, examples))
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    labels = torch.full((len(examples), width), -100)
    for row, example in enumerate(examples):
        position = 0
        for segment in example.segments:
            for token in segment.ids:
                ids[row, position] = token
                if segment.role.written_by_model:
                    labels[row, position] = token
                position += 1
    return ids, labels


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_first_loss_is_that_of_transformers(family, tmp_path):
    base = tiny_base(family)
    examples = rows(base, 4)
    ids, labels = padded(examples)
    with torch.no_grad():
        expected = base.model(ids, labels=labels).loss  # LoRA starts without effect
    recorder = Recorder()
    spec = TrainSpec(max_steps=1, batch_size=4, micro_batch_size=1)
    run(tmp_path, spec, base=base, examples=examples, sinks=[recorder])
    values = recorder.of("train.step")[0].values
    assert values["loss"] == pytest.approx(float(expected), rel=1e-6)


def test_first_step_as_trl_defines_it(tmp_path):
    # TRL's SFTTrainer: sum of shifted cross-entropy over completion tokens, divided by
    # num_items_in_batch; mean_token_accuracy is over the same tokens.
    base = tiny_base()
    examples = rows(base, 6)
    ids, labels = padded(examples)
    with torch.no_grad():
        logits = base.model(ids).logits[:, :-1]
    shifted = labels[:, 1:]
    items = (shifted != -100).sum()
    total = cross_entropy(
        logits.flatten(0, 1), shifted.flatten(), ignore_index=-100, reduction="sum"
    )
    right = ((logits.argmax(-1) == shifted) & (shifted != -100)).sum()
    recorder = Recorder()
    spec = TrainSpec(max_steps=1, batch_size=6, micro_batch_size=2)
    run(tmp_path, spec, base=base, examples=examples, sinks=[recorder])
    values = recorder.of("train.step")[0].values
    assert values["loss"] == pytest.approx(float(total / items), rel=1e-6)
    assert values["token_accuracy"] == pytest.approx(float(right / items))


def test_gradients_are_those_of_transformers():
    """The step's gradient norm against autograd through the base's own loss, head included."""
    base = tiny_base()
    examples = rows(base, 4)
    ids, labels = padded(examples)
    with tuning(Injection(base), LoraConfig(rank=3), Scope.ALL) as tunable:
        from pretune.engine.forward import routing_of

        piece = SFT.collate(tunable, examples)
        with tunable.injection.routed(routing_of(piece.batch, tunable.mounted)):
            (SFT.loss(tunable.injection, piece).total / piece.weight).backward()
            ours = {name: p.grad.clone() for name, p in tunable.parameters.items()}
            for parameter in tunable.parameters.values():
                parameter.grad = None
            base.model(ids, labels=labels).loss.backward()
        for name, parameter in tunable.parameters.items():
            torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-4, atol=1e-6)
        assert any(bool(value.any()) for value in ours.values())


def test_objectives_by_name():
    assert objective("sft") is SFT
    with pytest.raises(UnknownName, match='unknown objective "stf"; did you mean "sft"'):
        objective("stf")
