"""Write a trained decoder as a Hugging Face folder, each file replaced atomically.

python tools/base/export.py        # check the exported folder's logits against transformers
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import chat
import torch
from checkpoint import load_model
from model import Decoder, Shape
from safetensors.torch import load_file, save_file

MAX_LENGTH = 2048
TOLERANCE = 1e-3  # float32 logits of two orders of summation


def config(shape: Shape) -> dict[str, object]:
    """The model's `config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.inner,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_LENGTH,
        "rope_theta": shape.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rms_norm_eps": shape.norm_eps,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": chat.BOS_ID,
        "eos_token_id": chat.END_ID,
        "pad_token_id": chat.PAD_ID,
        "dtype": "bfloat16",
    }


GENERATION = {
    "bos_token_id": chat.BOS_ID,
    "eos_token_id": chat.END_ID,
    "pad_token_id": chat.PAD_ID,
    "do_sample": False,
    "max_new_tokens": 128,
}


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file atomically."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def export(decoder: Decoder, folder: Path) -> None:
    """Write weights (bfloat16), `config.json` and `generation_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in decoder.state_dict().items()
    }
    partial = folder / "model.safetensors.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.chmod(0o644)
    partial.replace(folder / "model.safetensors")
    write_json(folder / "config.json", config(decoder.shape))
    write_json(folder / "generation_config.json", GENERATION)


def load_exported(folder: Path) -> Decoder:
    """The decoder of an exported folder, its weights as they ship, widened to float32."""
    decoder = Decoder(Shape(), torch.float32)
    decoder.load_state_dict(load_file(folder / "model.safetensors"))
    return decoder


@torch.no_grad()
def check(folder: Path) -> float:
    """Largest difference between our logits and those of transformers on the exported folder."""
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ours = load_exported(folder)
    tokens = torch.randint(0, ours.shape.vocab, (2, 64), generator=torch.Generator())
    logits = ours.hidden(tokens, torch.zeros_like(tokens)) @ ours.model.embed_tokens.weight.t()
    return float((theirs(tokens).logits - logits).abs().max())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="export this first")
    parser.add_argument("--out", type=Path, default=Path("src/pretune/bases/embedded"))
    args = parser.parse_args()
    if args.checkpoint:
        export(load_model(args.checkpoint), args.out)
    difference = check(args.out)
    print(f"largest difference of logits: {difference:.2e}")
    if difference > TOLERANCE:
        raise SystemExit("the export does not compute what the trained model computes")


if __name__ == "__main__":
    main()
