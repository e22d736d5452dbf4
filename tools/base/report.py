"""Collect what a run left behind into `training.json` of the exported folder.

    python tools/base/report.py

Measures the shipped weights on every held-out source in full, in windows of 1,024 tokens.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import pretrain
import torch
from export import load_exported, write_json
from schedule import WARMUP, Plan
from validation import Validation

LENGTH = 1024
EVERY_WINDOW = 1 << 30
CURVE_POINTS = 60


def curve(log: list[dict]) -> list[dict]:
    """About `CURVE_POINTS` training points, evenly spaced."""
    points = [entry for entry in log if entry["kind"] == "train"]
    kept = points[:: max(1, len(points) // CURVE_POINTS)]
    keys = ("step", "tokens", "minutes", "loss", "rate", "tokens_per_second")
    return [{key: point[key] for key in keys} for point in kept]


def validation_curve(log: list[dict]) -> dict[str, list[list[float]]]:
    """Per held-out source, [step, nats a token] at every validation."""
    found: dict[str, list[list[float]]] = {}
    for entry in log:
        if entry["kind"] == "valid":
            found.setdefault(entry["source"], []).append([entry["step"], entry["nats_per_token"]])
    return found


def recipe(args: argparse.Namespace) -> dict[str, object]:
    """The numbers that define the run."""
    return {
        "seed": args.seed,
        "optimisers": {
            "muon": {"for": "hidden matrices", "lr": pretrain.MUON_RATE, "momentum": 0.95,
                     "weight_decay": pretrain.MUON_DECAY},
            "adamw": {"for": "embedding and norms", "lr": pretrain.EMBEDDING_RATE,
                      "betas": [0.9, 0.95], "weight_decay": 0.0},
        },
        "schedule": {"warmup_share": WARMUP, **asdict(Plan()), "decay": "linear to zero"},
        "arithmetic": "bfloat16 with float32 master weights",
        "mixture": json.loads(args.mixture.read_text(encoding="utf-8"))["phases"],
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(".work/base"))
    parser.add_argument("--mixture", type=Path, default=Path("tools/base/mixture.json"))
    parser.add_argument("--out", type=Path, default=Path("src/pretune/bases/embedded"))
    parser.add_argument("--notes", nargs="*", default=[], help="sentences to keep with the run")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    decoder = load_exported(args.out)
    lines = (args.work / "checkpoint" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    log = [json.loads(line) for line in lines]
    end = log[-1]
    validation = Validation(args.work / "valid", LENGTH, EVERY_WINDOW)
    with torch.no_grad():
        final = validation.measure(decoder, torch.device("cpu"))
    tokens = args.work / "tokens"
    write_json(
        args.out / "training.json",
        {
            "parameters": sum(param.numel() for param in decoder.parameters()),
            "shape": asdict(decoder.shape),
            "steps": end["step"],
            "tokens_seen": end["tokens"],
            "minutes": round(end["seconds"] / 60, 1),
            "tokens_per_second": round(end["tokens"] / end["seconds"]),
            "tokens_seen_by_source": end["seen"],
            "machine": end["machine"],
            "batch": end["batch"],
            "recipe": recipe(args),
            "notes": args.notes,
            "validation": {"window": LENGTH, "sources": final},
            "training_curve": curve(log),
            "validation_curve": validation_curve(log),
            "corpus": json.loads((tokens / "prepared.json").read_text()),
            "made_text": json.loads((tokens / "made_text.json").read_text()),
            "overlap": json.loads((args.work / "overlap.json").read_text()),
        },
    )
    print(json.dumps(final, indent=1))


if __name__ == "__main__":
    main()
