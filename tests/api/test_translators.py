"""Local translators: a tiny random Marian, loaded from a folder, asked like any teacher."""

import json
import shutil

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from pretune.api.augment import augment_rows
from pretune.api.translators import Translators
from pretune.core.errors import BaseModelError
from pretune.data.augment.backtranslation import BACK, FORWARD
from pretune.data.teacher.ask import Ask, Reply
from pretune.spec.augmenting import parse_augment
from pretune.spec.rewriting import TranslatorSpec, parse_rewriting
from pretune.spec.task import parse_task

WORDS = ("<pad>", "</s>", "<unk>", "my", "card", "was", "lost", "please", "help")


def save_marian(folder, seed):
    import torch

    torch.manual_seed(seed)
    config = MarianConfig(
        vocab_size=len(WORDS),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=32,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        forced_eos_token_id=1,
    )
    MarianMTModel(config).save_pretrained(folder, safe_serialization=True)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    home = tmp_path_factory.mktemp("marian")
    return save_marian(home / "forward", 1), save_marian(home / "back", 2)


def test_each_way_is_its_own_model_and_a_seed_decides(pair):
    both = Translators(TranslatorSpec(forward=pair[0], back=pair[1]))
    asks = [
        Ask(way, "my card was lost", 12, 1.0, seed) for way in (FORWARD, BACK) for seed in (1, 2)
    ]
    said = [both.call(one) for one in asks]
    assert said == [both.call(one) for one in asks]
    assert len({reply.text for reply in said}) > 2
    assert said[0].prompt_tokens == 5
    other = Translators(TranslatorSpec(forward=pair[1], back=pair[0]))
    assert other.model != both.model
    assert both.call(Ask(FORWARD, "card " * 99, 12, 1.0, 1)) == Reply("", False, 100, 0)


def test_back_translation_by_local_models(pair, tmp_path):
    row = {"text": "please help my card was lost please help", "label": "card"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    task = parse_task(
        {
            "name": "t",
            "data": {"train": "rows.jsonl", "validation": "rows.jsonl"},
            "template": {"user": "{text}", "target": "{label}"},
            "labels": ["card", "loan"],
        },
        folder=tmp_path,
    )
    folders = {"forward": str(pair[0]), "back": str(pair[1]), "max_tokens": 12, "temperature": 1.0}
    rewriting = parse_rewriting(
        {"translators": folders, "tries": 10, "checks": {"least": 0.0, "most": 1.0}}
    )
    spec = parse_augment({"operators": ["back_translation"], "per_row": 3, "rewriting": rewriting})
    done = augment_rows(task, tmp_path / "varied.jsonl", spec)
    counts = done.written.counts
    assert sum(counts.values()) >= 3
    assert all(what.startswith("back_translation") for what in counts)
    assert done.bill.calls["answered"] >= 6
    again = augment_rows(task, tmp_path / "varied.jsonl", spec, overwrite=True)
    assert again.bill.spent == done.bill.spent
    assert again.written.counts == counts


def test_folders_that_hold_no_such_model(pair, tmp_path):
    with pytest.raises(BaseModelError, match=r"no translation model in .*weights as safetensors"):
        Translators(TranslatorSpec(forward=tmp_path, back=pair[1]))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BaseModelError, match="is no translation model that transformers can load"):
        Translators(TranslatorSpec(forward=tmp_path, back=pair[1]))


def test_weights_of_another_folder_are_not_taken(pair, tmp_path):
    folder = tmp_path / "forward"
    shutil.copytree(pair[0], folder)
    (folder / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (folder / "part.safetensors").write_bytes(b"")
    index = {"metadata": {}, "weight_map": {"model.shared.weight": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BaseModelError, match=r"\.\./elsewhere.*none of the weight files"):
        Translators(TranslatorSpec(forward=folder, back=pair[1]))
