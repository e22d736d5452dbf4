"""A lean Llama for training: joined projections, document masks, chunked cross-entropy.

Weights carry the names and layouts of `LlamaForCausalLM`, so that an export is a cast to bfloat16.
Master weights are float32; the arithmetic runs in `Decoder.dtype`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the model, in Llama's terms."""

    vocab: int = 8192
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    inner: int = 704
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5


def rope_tables(length: int, shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each [length, head_dim], in Llama's half-split layout."""
    powers = torch.arange(0, shape.head_dim, 2, device=device).float() / shape.head_dim
    angles = torch.outer(torch.arange(length, device=device).float(), shape.rope_theta**-powers)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply RoPE to x [batch, heads, length, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def joined(x: Tensor, *linears: nn.Linear) -> tuple[Tensor, ...]:
    """Several projections of x as one matmul; one output per linear."""
    weight = torch.cat([linear.weight for linear in linears]).to(x.dtype)
    return F.linear(x, weight).split([linear.out_features for linear in linears], dim=-1)


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, computed in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x [..., width]."""
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * scale * self.weight).to(x.dtype)


class Attention(nn.Module):
    """Grouped-query attention with RoPE.

    Written as two batched matmuls round a softmax: at these lengths that compiles to faster CPU
    code than the flash kernel (13.3k against 11.2k tokens a second for the whole step).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.width, queries, bias=False)
        self.k_proj = nn.Linear(shape.width, keys, bias=False)
        self.v_proj = nn.Linear(shape.width, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.width, bias=False)

    def forward(self, x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x [batch, length, width]; mask [batch, 1, 1, length, length], added to the scores."""
        heads, kv_heads, dim = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
        batch, length, _ = x.shape
        group = heads // kv_heads
        q, k, v = joined(x, self.q_proj, self.k_proj, self.v_proj)
        q = rotate(q.view(batch, length, heads, dim).transpose(1, 2), cos, sin)
        k = rotate(k.view(batch, length, kv_heads, dim).transpose(1, 2), cos, sin)
        v = v.view(batch, length, kv_heads, dim).transpose(1, 2)
        q = q.reshape(batch * kv_heads, group * length, dim)
        k = k.reshape(batch * kv_heads, length, dim)
        v = v.reshape(batch * kv_heads, length, dim)
        scores = torch.bmm(q, k.transpose(1, 2)).view(batch, kv_heads, group, length, length)
        shares = (scores.float() * dim**-0.5 + mask).softmax(-1).to(x.dtype)
        mixed = torch.bmm(shares.view(batch * kv_heads, group * length, length), v)
        mixed = mixed.view(batch, heads, length, dim).transpose(1, 2)
        mixed = mixed.reshape(batch, length, heads * dim)
        return F.linear(mixed, self.o_proj.weight.to(x.dtype))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, length, width] to the same shape."""
        gate, up = joined(x, self.gate_proj, self.up_proj)
        return F.linear(F.silu(gate) * up, self.down_proj.weight.to(x.dtype))


class Layer(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x [batch, length, width] to the same shape; the rest is as in `Attention`."""
        x = x + self.self_attn(self.input_layernorm(x), mask, cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Embeddings, layers and the last norm: everything but the tied output head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.norm_eps)


class Decoder(nn.Module):
    """The whole model, with tied embeddings."""

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.shape = shape
        self.dtype = dtype
        self.model = Trunk(shape)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Normal weights; the two matrices that write to the residual stream start at zero."""
        for name, weight in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(weight)
            elif name.endswith("embed_tokens.weight"):
                nn.init.normal_(weight, std=0.02)
            elif weight.ndim == 2:
                nn.init.normal_(weight, std=self.shape.width**-0.5)

    def hidden(
        self, tokens: Tensor, documents: Tensor, through: Callable[..., Tensor] = Layer.forward
    ) -> Tensor:
        """Last hidden states [batch, length, width] of packed tokens [batch, length].

        `documents` [batch, length] numbers the document of each token: a token sees the earlier
        tokens of its own document and no other. `through` runs a layer.
        """
        length = tokens.shape[1]
        cos, sin = rope_tables(length, self.shape, tokens.device)
        causal = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        seen = (documents[:, None, None, :, None] == documents[:, None, None, None, :]) & causal
        mask = torch.zeros(seen.shape, device=tokens.device).masked_fill(~seen, float("-inf"))
        x = F.embedding(tokens, self.model.embed_tokens.weight).to(self.dtype)
        for layer in self.model.layers:
            x = through(layer, x, mask, cos.to(self.dtype), sin.to(self.dtype))
        return self.model.norm(x)

    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum of next-token losses in nats; targets and weights are [batch, length]."""
        table = self.model.embed_tokens.weight.to(self.dtype)
        flat = hidden.reshape(-1, self.shape.width)
        return ChunkedLoss.apply(flat, table, targets.reshape(-1), weights.reshape(-1))


class ChunkedLoss(torch.autograd.Function):
    """Weighted sum of cross-entropies; each chunk's gradient is made on the way forward.

    The [tokens, vocab] logits never exist whole; on a processor each chunk is used while it is in
    cache, on a GPU a chunk is large enough to fill it.
    """

    CHUNKS: ClassVar = {"cpu": 512, "cuda": 16384}  # tokens

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        hidden: Tensor,  # [tokens, width]
        table: Tensor,  # [vocab, width], the dtype of hidden
        targets: Tensor,  # [tokens]
        weights: Tensor,  # [tokens], float32
    ) -> Tensor:
        """The summed loss; both gradients are kept for `backward`."""
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_grad = torch.empty_like(hidden)
        table_grad = torch.zeros(table.shape, dtype=torch.float32, device=table.device)
        chunk = ChunkedLoss.CHUNKS[hidden.device.type]
        for start in range(0, hidden.shape[0], chunk):
            part = slice(start, start + chunk)
            logits = hidden[part] @ table.t()
            losses, logits_grad = cross_entropy_with_grad(logits, targets[part], weights[part])
            loss += losses
            hidden_grad[part] = logits_grad @ table
            table_grad += logits_grad.t() @ hidden[part]
        ctx.save_for_backward(hidden_grad, table_grad.to(table.dtype))
        return loss

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, upstream: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Scale the gradients made in `forward`."""
        hidden_grad, table_grad = ctx.saved_tensors
        return hidden_grad * upstream, table_grad * upstream, None, None


@torch.compile
def cross_entropy_with_grad(
    logits: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted loss of one chunk, and its gradient on the logits in their own dtype."""
    wide = logits.float()
    top = wide.amax(-1, keepdim=True)
    powers = (wide - top).exp()
    total = powers.sum(-1, keepdim=True)
    picked = wide.gather(-1, targets[:, None])
    loss = ((total.log() + top - picked).squeeze(-1) * weights).sum()
    columns = torch.arange(wide.shape[-1], device=logits.device)
    hit = columns[None, :] == targets[:, None]
    grad = (powers / total - hit.float()) * weights[:, None]
    return loss, grad.to(logits.dtype)
