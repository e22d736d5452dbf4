"""Tiny random bases of every supported family with a byte tokenizer, for tests of any project."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from pretune.bases.anatomy import dissect
from pretune.bases.base import Base
from pretune.bases.chat import ChatRenderer
from pretune.bases.load import context_of
from pretune.core.digest import of_bytes

_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_SPECIAL = ("<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")

_COMMON = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "vocab_size": 256 + len(_SPECIAL),
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GROUPED: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _GROUPED,
    "qwen2": _GROUPED,
    "qwen3": _GROUPED,
    "mistral": _GROUPED | {"sliding_window": None},
    "gemma": _GROUPED,
    "gemma2": _GROUPED | {"sliding_window": 512, "query_pre_attn_scalar": 8},
    "gemma3_text": _GROUPED | {"sliding_window": 512, "query_pre_attn_scalar": 8},
    "olmo2": _GROUPED,
    "smollm3": _GROUPED | {"no_rope_layers": [1, 0]},
    "phi": {"partial_rotary_factor": 0.5},
    "phi3": {"num_key_value_heads": 2},
    "gpt2": {},
    "gpt_neox": {},
}
"""What each family's tiny configuration says beyond the common part."""


def byte_tokenizer(size: int = 0) -> Any:
    """A fast tokenizer whose tokens are the 256 bytes and six special tokens; up to ``size`` follow
    tokens that no text becomes, for models with a vocabulary of their own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    surplus = (f"w{i}" for i in range(len(_SPECIAL) + len(letters), size))
    vocabulary = {token: i for i, token in enumerate([*_SPECIAL, *letters, *surplus])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=_SPECIAL[0],
        bos_token=_SPECIAL[1],
        eos_token=_SPECIAL[2],
        additional_special_tokens=list(_SPECIAL[3:]),
        chat_template=_CHAT_TEMPLATE,
    )


def tiny_model(family: str = "llama", seed: int = 0, **changes: Any) -> Any:
    """A ``transformers`` model of ``family`` with random float32 weights large enough to matter."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family, **(_COMMON | FAMILIES[family] | changes))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    return model.float().eval().requires_grad_(False)


def save_tiny(folder: Path, family: str = "llama", seed: int = 0, **changes: Any) -> Path:
    """Write a tiny model with the byte tokenizer to ``folder``, to be loaded like any base."""
    tiny_model(family, seed, **changes).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def tiny_base(family: str = "llama", seed: int = 0, **changes: Any) -> Base:
    """A :class:`Base` in memory: about 30,000 random weights, no files."""
    model = tiny_model(family, seed, **changes)
    digest = of_bytes(save({k: v.clone() for k, v in sorted(model.state_dict().items())}))
    renderer = ChatRenderer(byte_tokenizer(), context_of(model.config))
    return Base(f"tiny-{family}", digest, "fp32", model, renderer, dissect(model))
