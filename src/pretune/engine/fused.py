"""A step in few, large products: what the model's own code does, for blocks of Llama's shape.

A step is bound by its products; what lies between them should not add to it. Query, key and value
are one product here, so are gate and up, and rotary tables, masks and block tables are made once
for all layers. Every other family, and a step with edits elsewhere than at linear layers, runs on
the model's own code (``engine/paged.py``), with the same results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretune.adapters.injection import Edit
from pretune.adapters.runs import OwnRuns
from pretune.bases import Base
from pretune.bases.anatomy import Anatomy, Part, Site
from pretune.bases.room import room_on
from pretune.engine.packed import Packed, packable, packed_bytes
from pretune.engine.paged import Paged, Score

_FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3")
_MOST_PACKED = 0.25
"""Share of what memory can give that packed weights may take."""

_PARTS = Part.QUERY, Part.KEY, Part.VALUE, Part.OUT, Part.GATE, Part.UP, Part.DOWN


class _Norm(NamedTuple):
    """Root mean square norm, rounded where ``transformers`` rounds."""

    weight: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], None, self.epsilon) * self.weight

    @classmethod
    def of(cls, module: Any) -> "_Norm":
        return cls(module.weight, module.variance_epsilon)


@dataclass(eq=False)
class _Linear:
    """Linear layers of one input as one product; ``parts`` says whose columns are which."""

    weight: Tensor
    bias: Tensor | None
    parts: tuple[tuple[Site, slice], ...] = ()
    packed: Packed | None = None

    def __call__(self, x: Tensor, edits: Sequence[Edit] = ()) -> Tensor:
        if self.packed is not None and self.packed.suits(len(x)):
            within = [edit for edit in edits if isinstance(edit, OwnRuns)]
            edits = [edit for edit in edits if not isinstance(edit, OwnRuns)]
            y = self.packed(x, self.bias, partial(self._amend, within) if within else None)
        else:
            y = F.linear(x, self.weight, self.bias)
        for edit in edits:
            for site, columns in self.parts:
                own = y[:, columns]
                changed = edit.edit(site, x, own)
                if changed is not own:
                    own.copy_(changed)
        return y

    def _amend(self, edits: Sequence[OwnRuns], first: int, x: Tensor, y: Tensor) -> None:
        for edit in edits:
            edit.edit_part(self.parts, first, x, y)

    def pack(self) -> None:
        """Keep the weights a second time, as the product reads them fastest."""
        self.packed = Packed.of(self.weight)

    @classmethod
    def of(cls, *sites: Site) -> "_Linear":
        modules: list[Any] = [site.module for site in sites]
        biases = [module.bias for module in modules]
        bias = None if biases[0] is None else _stacked(biases)
        ends = list(accumulate(site.width_out for site in sites))
        columns = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        weight = _stacked([module.weight for module in modules])
        return cls(weight, bias, tuple(zip(sites, columns, strict=True)))


@dataclass(frozen=True, eq=False)
class _Block:
    before: _Norm
    qkv: _Linear
    heads: _Norm | None
    """Of queries and keys by head, their weights ``(heads + kv_heads, d)``."""
    score: Score
    window: int | None
    out: _Linear
    between: _Norm
    gate_up: _Linear
    activation: Callable[[Tensor], Tensor]
    down: _Linear


class FusedBlocks:
    """The blocks of one base, ready for steps of prompts and single tokens alike.

    Fused weights are no second copy: the base's own parameters become views of them. On a CPU they
    are packed besides, with the first step, where memory has room for that copy; it is of the base
    as it is then, which is frozen.
    """

    def __init__(self, base: Base) -> None:
        """Only for a base that :func:`fused_blocks` has looked at."""
        anatomy, backbone = base.anatomy, base.model.base_model
        self._queries, self._keys = anatomy.heads, anatomy.kv_heads
        self._width = anatomy.head_dim
        self._backbone = backbone
        sites = {(site.layer, site.part): site for site in anatomy.linears}
        self._blocks = [
            _block(block, {part: sites[layer, part] for part in _PARTS}, anatomy)
            for layer, block in enumerate(backbone.layers)
        ]
        self._norm = _Norm.of(backbone.norm)
        head = base.model.get_output_embeddings()
        self._head = _Linear(head.weight.detach(), head.bias)
        self._to_pack = packable(head.weight)

    def __call__(
        self, ids: Tensor, positions: Tensor, paged: Paged, edits: Sequence[Edit] = ()
    ) -> Tensor:
        """Last hidden states ``(N, hidden)`` of the tokens ``ids (N,)`` at ``positions (N,)``,
        whose keys and values are written. ``edits`` act at linear layers alone."""
        if self._to_pack:
            self._pack()
        x: Tensor = self._backbone.embed_tokens(ids)
        cos, sin = self._backbone.rotary_emb(x, positions[None])
        cos, sin = cos[0][:, None], sin[0][:, None]
        low, high = sin.chunk(2, -1)
        sin = torch.cat([-low, high], -1)
        for layer, block in enumerate(self._blocks):
            # (N, heads + 2 kv_heads, d): queries, keys, values
            heads = block.qkv(block.before(x), edits).unflatten(-1, (-1, self._width))
            x = x + block.out(self._attention(layer, block, heads, cos, sin, paged), edits)
            gate, up = block.gate_up(block.between(x), edits).chunk(2, -1)
            x = x + block.down(block.activation(gate) * up, edits)
        return self._norm(x)

    def head(self, hidden: Tensor) -> Tensor:
        """Logits ``(N, vocabulary)`` of ``hidden (N, hidden)``."""
        return self._head(hidden)

    def _pack(self) -> None:
        self._to_pack = False
        linears = [self._head]
        for block in self._blocks:
            linears += block.qkv, block.out, block.gate_up, block.down
        room = room_on(self._head.weight.device) or 0
        if sum(packed_bytes(linear.weight) for linear in linears) < _MOST_PACKED * room:
            for linear in linears:
                linear.pack()

    def _attention(
        self, layer: int, block: _Block, heads: Tensor, cos: Tensor, sin: Tensor, paged: Paged
    ) -> Tensor:
        turned = heads[:, : -self._keys]
        if block.heads is not None:
            turned = block.heads(turned)
        # Half of each head's numbers change places with the other half, one of them negated.
        swapped = turned.roll(self._width // 2, -1)
        turned = turned * cos + swapped * sin
        query, key = turned.split([self._queries, self._keys], 1)
        new = torch.stack([key, heads[:, -self._keys :]], 1)
        query = query.unflatten(1, (self._keys, -1))
        return paged.attend(layer, query, new, block.score, block.window).flatten(1)


def fused_blocks(base: Base) -> FusedBlocks | None:
    """Those of ``base`` if its modules are exactly of the known shape, else ``None``."""
    return FusedBlocks(base) if _is_known(base) else None


def _is_known(base: Base) -> bool:
    model = base.model
    name = type(model).__name__.removesuffix("ForCausalLM")
    if name not in _FAMILIES or not type(model).__module__.startswith("transformers.models."):
        return False
    if any("forward" in vars(module) for module in model.modules()):
        return False  # wrapped from outside
    backbone = model.base_model
    kinds = {type(module).__name__ for module in backbone.modules()}
    own = {"Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding"}
    plain = {"Embedding", "ModuleList", "Linear", type(backbone.layers[0].mlp.act_fn).__name__}
    if kinds != plain | {name + kind for kind in own}:
        return False
    linears = [site.module for site in base.anatomy.linears] + [model.get_output_embeddings()]
    if any(type(linear) is not nn.Linear for linear in linears):
        return False  # quantised, or an adapter of another library
    if 2 * backbone.rotary_emb.inv_freq.numel() != base.anatomy.head_dim:
        return False  # turns a part of each head
    return all(_biased_alike(block) for block in backbone.layers)


def _biased_alike(block: Any) -> bool:
    attention, mlp = block.self_attn, block.mlp
    fused = (attention.q_proj, attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj)
    return all(len({linear.bias is None for linear in linears}) == 1 for linears in fused)


def _block(block: Any, sites: Mapping[Part, Site], anatomy: Anatomy) -> _Block:
    attention = block.self_attn
    norm = None
    if hasattr(attention, "q_norm"):
        queries, keys = attention.q_norm, attention.k_norm
        rows = queries.weight.expand(anatomy.heads, -1), keys.weight.expand(anatomy.kv_heads, -1)
        norm = _Norm(torch.cat(rows), queries.variance_epsilon)
    # Mistral keeps its window in the configuration, Llama has none.
    window = getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))
    return _Block(
        before=_Norm.of(block.input_layernorm),
        qkv=_Linear.of(sites[Part.QUERY], sites[Part.KEY], sites[Part.VALUE]),
        heads=norm,
        score=Score(attention.scaling),
        window=window,
        out=_Linear.of(sites[Part.OUT]),
        between=_Norm.of(block.post_attention_layernorm),
        gate_up=_Linear.of(sites[Part.GATE], sites[Part.UP]),
        activation=block.mlp.act_fn,
        down=_Linear.of(sites[Part.DOWN]),
    )


def _stacked(parameters: Sequence[nn.Parameter]) -> Tensor:
    """The rows of ``parameters`` below one another, in memory that they are views of: nothing is
    kept twice, and who changes one in place changes the other."""
    sizes = [len(one) for one in parameters]
    first = parameters[0].data
    shape = sum(sizes), *first.shape[1:]
    if _adjacent([one.data for one in parameters]):
        return first.as_strided(shape, first.stride())
    whole = torch.cat([one.data for one in parameters])
    for one, rows in zip(parameters, whole.split(sizes), strict=True):
        one.data = rows
    return whole


def _adjacent(tensors: Sequence[Tensor]) -> bool:
    """Whether they stand one behind the other in one storage already."""
    storage = tensors[0].untyped_storage().data_ptr()
    place = tensors[0].storage_offset()
    for one in tensors:
        known = one.is_contiguous() and one.untyped_storage().data_ptr() == storage
        if not known or one.storage_offset() != place:
            return False
        place += one.numel()
    return True
