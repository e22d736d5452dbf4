"""Prefix and prompt tuning in PEFT's format: one tensor, ``prompt_embeddings``.

PEFT puts a prefix into the cache, as keys that carry their rotary position already; here a prefix
is what the key and value layers write, before positions (``methods/prefix_tuning.py``). The two
differ by a rotation to positions 0 to length - 1, done with the model's own rotary embedding.
"""

from typing import Any

import torch
from torch import Tensor

from pretune.adapters.adapter import Adapter
from pretune.adapters.method import Weights
from pretune.adapters.methods.prefix_tuning import prefix_sites
from pretune.adapters.peft_format.files import Contents
from pretune.bases import Base
from pretune.core.errors import AdapterError, ScopeError
from pretune.core.scope import Scope
from pretune.spec.methods import PrefixTuningConfig, PromptTuningConfig

_EMBEDDINGS = "prompt_embeddings"
_BY_LENGTH = ("dynamic", "longrope")
"""Kinds of rotary embedding whose frequencies change with the length of the sequence."""


def prompt_from(contents: Contents, base: Base, scope: Scope) -> tuple[PromptTuningConfig, Weights]:
    """Config and weights of prompt tuning: ``(length, hidden)`` as it is.

    Raises:
        ScopeError: another scope than ``prompt``.
        AdapterError: weights that are missing, surplus, or too many.
    """
    _check_scope(scope, "prompt_tuning")
    soft = _embeddings(contents)
    config = contents.config_of(PromptTuningConfig, length=len(soft), start="random")
    return config, {"embedding.soft": soft}


def prompt_to(
    adapter: Adapter, config: PromptTuningConfig
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """PEFT's config and tensors of a prompt-tuning ``adapter``.

    Raises:
        ScopeError: scope ``suffix``.
    """
    _check_scope(adapter.scope, config.name)
    soft = adapter.weights["embedding.soft"]
    options = {
        "peft_type": "PROMPT_TUNING",
        "num_virtual_tokens": config.length,
        "token_dim": soft.shape[1],
        "num_transformer_submodules": 1,
        "prompt_tuning_init": "RANDOM",
    }
    return options, {_EMBEDDINGS: soft}


def prefix_from(contents: Contents, base: Base, scope: Scope) -> tuple[PrefixTuningConfig, Weights]:
    """Config and weights of prefix tuning; a projection is already run in what PEFT saves.

    Raises:
        ScopeError: another scope than ``prompt``.
        AdapterError: weights that do not fit, or a family whose keys are normed after their layer.
    """
    _check_scope(scope, "prefix_tuning")
    flat = _embeddings(contents)
    anatomy = base.anatomy
    expected = anatomy.layers * 2 * anatomy.kv_width
    if flat.shape[1] != expected:
        raise AdapterError(
            f'"{_EMBEDDINGS}" in "{contents.folder}" has {flat.shape[1]} values a virtual token, '
            f'base "{base.name}" takes {expected}; it was trained on another base'
        )
    length = len(flat)
    config = contents.config_of(PrefixTuningConfig, length=length, start="zero")
    cached = flat.view(length, anatomy.layers, 2, anatomy.kv_width)
    weights: Weights = {}
    for site in prefix_sites(anatomy):
        prefix = torch.zeros(length, site.width_out)
        keys, values = anatomy.kv_columns(site)
        if keys is not None:
            prefix[:, keys] = _rotated(base, cached[:, site.layer, 0], back=True)
        if values is not None:
            prefix[:, values] = cached[:, site.layer, 1]
        weights[f"{site.name}.prefix"] = prefix
    return config, weights


def prefix_to(
    adapter: Adapter, config: PrefixTuningConfig, base: Base
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """PEFT's config and tensors of a prefix-tuning ``adapter``.

    Raises:
        ScopeError: scope ``suffix``.
        AdapterError: a family whose keys are normed after their layer.
    """
    _check_scope(adapter.scope, config.name)
    anatomy = base.anatomy
    cached = torch.zeros(config.length, anatomy.layers, 2, anatomy.kv_width)
    for site in prefix_sites(anatomy):
        prefix = adapter.weights[f"{site.name}.prefix"]
        keys, values = anatomy.kv_columns(site)
        if keys is not None:
            cached[:, site.layer, 0] = _rotated(base, prefix[:, keys], back=False)
        if values is not None:
            cached[:, site.layer, 1] = prefix[:, values]
    options = {
        "peft_type": "PREFIX_TUNING",
        "num_virtual_tokens": config.length,
        "num_layers": anatomy.layers,
        "num_attention_heads": anatomy.kv_heads,
        "token_dim": anatomy.kv_width,
        "num_transformer_submodules": 1,
        "encoder_hidden_size": anatomy.kv_width,
        "prefix_projection": False,
    }
    return options, {_EMBEDDINGS: cached.flatten(1)}


def _check_scope(scope: Scope, method: str) -> None:
    if scope is not Scope.PROMPT:
        raise ScopeError(
            f'method "{method}" has scope "prompt" in PEFT\'s format, not "{scope}": its virtual '
            "tokens stand before everything else, and generated tokens have none"
        )


def _embeddings(contents: Contents) -> Tensor:
    """The one tensor of the file, ``(length, values a virtual token)``."""
    contents.refuse({"modules_to_save": "it replaces whole modules of the base"})
    contents.refuse(
        {"num_transformer_submodules": "it is for an encoder and a decoder"}, harmless=(None, 1)
    )
    if surplus := sorted(set(contents.tensors) - {_EMBEDDINGS}):
        raise AdapterError(
            f'"{surplus[0]}" in "{contents.folder}" is not one of this method, which has '
            f'"{_EMBEDDINGS}" alone'
        )
    found = contents.tensors.get(_EMBEDDINGS)
    if found is None or found.dim() != 2 or len(found) != contents.number("num_virtual_tokens"):
        raise AdapterError(
            f'"{contents.folder}" lacks "{_EMBEDDINGS}" with one row a virtual token; copy it again'
        )
    return found


def _rotated(base: Base, keys: Tensor, *, back: bool) -> Tensor:
    """``keys (length, kv_width)`` with the rotary positions 0 to length - 1 put on, or taken off.

    Families with a part of each head rotated rotate its first; those without rotary positions
    (GPT-2) get their keys back as they are. All of our families pair value ``i`` of the rotated
    part with value ``i + half``.
    """
    rotary: Any = None
    for name, module in base.model.named_modules():
        last = name.rpartition(".")[2]
        if last in ("k_norm", "k_layernorm"):
            raise AdapterError(
                f'base "{base.name}" norms its keys after the layer that writes them, so a prefix '
                "of PEFT, which stands behind the norm, is no prefix here; train it anew"
            )
        if last == "rotary_emb":
            rotary = module
    if rotary is None:
        return keys
    if rotary.rope_type in _BY_LENGTH:
        raise AdapterError(
            f'base "{base.name}" has rotary positions of type "{rotary.rope_type}", which change '
            "with the length of the text, so a prefix of PEFT is no prefix here; train it anew"
        )
    positions = torch.arange(len(keys), device=base.device)[None]
    cos, sin = (part[0].cpu() for part in rotary(torch.zeros(1, device=base.device), positions))
    heads = keys.view(len(keys), base.anatomy.kv_heads, base.anatomy.head_dim)
    width = cos.shape[-1]
    turned, rest = heads[..., :width], heads[..., width:]
    cos, sin = cos[:, None], sin[:, None]
    first, second = turned.chunk(2, dim=-1)
    half_turn = torch.cat([-second, first], dim=-1)
    if back:
        # Some kinds scale as they rotate; cos^2 + sin^2 is the square of that scale.
        turned = (turned * cos - half_turn * sin) / (cos**2 + sin**2)
    else:
        turned = turned * cos + half_turn * sin
    return torch.cat([turned, rest], dim=-1).flatten(1)
