"""Where the parts of a decoder-only model are: its blocks, linear layers, embedding and head.

Families name the same parts differently, and some fuse several into one linear layer. This table is
the only place that knows; everything to the right speaks of roles.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from pretune.core.errors import BaseModelError


class Part(StrEnum):
    """The role of a place in the model at which an adapter may act."""

    QUERY = "q"
    KEY = "k"
    VALUE = "v"
    QKV = "qkv"
    OUT = "o"
    GATE = "gate"
    UP = "up"
    GATE_UP = "gate_up"
    DOWN = "down"
    FFN = "ffn"
    BLOCK = "block"
    EMBEDDING = "embedding"
    LEAF = "leaf"


COVERS: dict[Part, tuple[str, ...]] = {
    Part.QUERY: ("q",),
    Part.KEY: ("k",),
    Part.VALUE: ("v",),
    Part.QKV: ("q", "k", "v"),
    Part.OUT: ("o",),
    Part.GATE: ("gate",),
    Part.UP: ("up",),
    Part.GATE_UP: ("gate", "up"),
    Part.DOWN: ("down",),
}
"""The roles that each linear layer plays; a fused one plays several."""

_LINEAR_PARTS: dict[str, Part] = {
    # Llama, Qwen, Mistral, Gemma
    "self_attn.q_proj": Part.QUERY,
    "self_attn.k_proj": Part.KEY,
    "self_attn.v_proj": Part.VALUE,
    "self_attn.o_proj": Part.OUT,
    "mlp.gate_proj": Part.GATE,
    "mlp.up_proj": Part.UP,
    "mlp.down_proj": Part.DOWN,
    # Phi
    "self_attn.dense": Part.OUT,
    "mlp.fc1": Part.UP,
    "mlp.fc2": Part.DOWN,
    # Phi-3
    "self_attn.qkv_proj": Part.QKV,
    "mlp.gate_up_proj": Part.GATE_UP,
    # GPT-2
    "attn.c_attn": Part.QKV,
    "attn.c_proj": Part.OUT,
    "mlp.c_fc": Part.UP,
    "mlp.c_proj": Part.DOWN,
    # GPT-NeoX
    "attention.query_key_value": Part.QKV,
    "attention.dense": Part.OUT,
    "mlp.dense_h_to_4h": Part.UP,
    "mlp.dense_4h_to_h": Part.DOWN,
}

_FAMILIES = frozenset(
    (
        "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi",
        "phi3", "qwen2", "qwen3", "smollm3",
    )
)  # fmt: skip
"""Families that the laws are tested on. Others give their parts the same names and do more with
them: scale the logits behind the head (Cohere, Granite), weigh attention against a sink (GPT-OSS),
or mix values in code of their own (Bloom, DiffLlama), in which requests of one step would see each
other."""

_HEADS_FIRST = {
    "gemma3_text": ("q_norm", "k_norm"),
    "phi": ("q_layernorm", "k_layernorm"),
}
"""Leaves that a family runs on ``(B, heads, T, d)``; others norm heads before they transpose."""

_INTERLEAVED = frozenset({"gpt_neox"})
"""Families whose fused layer holds q, k, v of one head, then of the next."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a model: ``name`` is stable across precisions and stored in adapter files.

    ``width_in`` and ``width_out`` are the widths of its input and output; a block, an FFN and an
    embedding have the model's hidden width on both sides.
    """

    name: str
    part: Part
    layer: int
    module: nn.Module
    width_in: int
    width_out: int
    heads_first: bool = False
    """Input and output are ``(B, heads, T, d)``, where those of all others begin with ``B, T``."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of one loaded model, by role."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    embedding: Site
    linears: tuple[Site, ...]
    ffns: tuple[Site, ...]
    blocks: tuple[Site, ...]
    leaves: tuple[Site, ...]
    interleaved: bool

    @property
    def kv_width(self) -> int:
        """Width of one token's keys (or values) in one layer."""
        return self.kv_heads * self.head_dim

    def linears_for(self, roles: tuple[str, ...]) -> tuple[Site, ...]:
        """Linear layers that play any of ``roles``; a fused layer counts for each it plays."""
        wanted = set(roles)
        return tuple(site for site in self.linears if wanted & set(COVERS[site.part]))

    def kv_columns(self, site: Site) -> tuple[Tensor | None, Tensor | None]:
        """Output columns of ``site`` that are keys and that are values, or ``None`` for neither."""
        if site.part is Part.KEY:
            return torch.arange(self.kv_width), None
        if site.part is Part.VALUE:
            return None, torch.arange(self.kv_width)
        if site.part is not Part.QKV:
            return None, None
        if self.interleaved:
            columns = torch.arange(site.width_out).view(self.heads, 3, self.head_dim)
            return columns[:, 1].flatten(), columns[:, 2].flatten()
        end = site.width_out
        return (
            torch.arange(end - 2 * self.kv_width, end - self.kv_width),
            torch.arange(end - self.kv_width, end),
        )


def widths(module: nn.Module) -> tuple[int, int]:
    """Input and output width of a linear layer of any kind (Conv1D stores it transposed)."""
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.nf)
    return int(module.in_features), int(module.out_features)  # type: ignore[arg-type]


def dissect(model: Any) -> Anatomy:
    """Find the parts of a ``transformers`` causal language model.

    Raises:
        BaseModelError: no decoder blocks, none of their linear layers has a known name, or it is of
            another family than those known.
    """
    config = model.config.get_text_config(decoder=True)
    path, blocks = _find_blocks(model)
    hidden = int(config.hidden_size)
    linears: list[Site] = []
    for index, block in enumerate(blocks):
        for inner, module in block.named_modules():
            if (part := _LINEAR_PARTS.get(inner)) is not None:
                name = f"layers.{index}.{part}"
                linears.append(Site(name, part, index, module, *widths(module)))
    if not linears:
        raise BaseModelError(
            f'cannot find the linear layers of "{type(model).__name__}" under "{path}"; known '
            f"names: {', '.join(sorted(_LINEAR_PARTS))}"
        )
    if config.model_type not in _FAMILIES:
        raise BaseModelError(
            f'"{type(model).__name__}" is of family "{config.model_type}", which is not known to '
            f"compute what its layers' names promise; known: {', '.join(sorted(_FAMILIES))}"
        )
    heads = int(config.num_attention_heads)
    return Anatomy(
        hidden=hidden,
        layers=len(blocks),
        heads=heads,
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_dim=int(getattr(config, "head_dim", None) or hidden // heads),
        vocabulary=int(model.get_output_embeddings().weight.shape[0]),
        embedding=Site(
            "embedding", Part.EMBEDDING, -1, model.get_input_embeddings(), hidden, hidden
        ),
        linears=tuple(linears),
        ffns=tuple(
            Site(f"layers.{i}.ffn", Part.FFN, i, block.mlp, hidden, hidden)  # type: ignore[arg-type]
            for i, block in enumerate(blocks)
        ),
        blocks=tuple(
            Site(f"layers.{i}.block", Part.BLOCK, i, block, hidden, hidden)
            for i, block in enumerate(blocks)
        ),
        leaves=_find_leaves(model),
        interleaved=config.model_type in _INTERLEAVED,
    )


def _find_leaves(model: Any) -> tuple[Site, ...]:
    """Every module with parameters of its own. A module whose parameters are another's (a tied
    head) has the other's name, so that both read the same weights."""
    family = model.config.get_text_config(decoder=True).model_type
    heads_first = _HEADS_FIRST.get(family, ())
    owners: dict[int, str] = {}
    leaves: list[Site] = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            owner = owners.setdefault(id(own[0]), name)
            transposed = name.rpartition(".")[2] in heads_first
            leaves.append(Site(f"leaf.{owner}", Part.LEAF, -1, module, 0, 0, transposed))
    return tuple(leaves)


def _find_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The list of decoder blocks: the only module list whose members hold an ``mlp``."""
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and hasattr(module[0], "mlp"):
            return name, module
    raise BaseModelError(
        f'"{type(model).__name__}" has no decoder blocks with an FFN; a base must be a '
        "decoder-only language model (Llama, Qwen, Mistral, Gemma, Phi, GPT-2, GPT-NeoX families)"
    )
