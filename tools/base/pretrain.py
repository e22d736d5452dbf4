"""Pre-train the embedded base within a budget of minutes.

    python tools/base/pretrain.py --minutes 80

Stops and resumes anywhere: SIGTERM (or the end of the budget) writes a checkpoint, a new start
with the same arguments goes on from it. On a GPU:

    python tools/base/pretrain.py --device cuda --minutes 20 --rows 512 --long-rows 128
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import time
from pathlib import Path
from types import FrameType

import checkpoint
import numpy as np
import torch
from checkpoint import Progress
from export import export
from mixture import Batch, Mixture, pack
from model import Decoder, Shape
from muon import Muon
from schedule import Plan
from validation import Validation

EMBEDDING_RATE = 3e-3
NORM_RATE = 3e-3
MUON_RATE = 0.02
MUON_DECAY = 0.02


def build_optimisers(decoder: Decoder) -> dict[str, torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for the embedding and the norms."""
    hidden, others = [], []
    for name, param in decoder.named_parameters():
        is_hidden = param.ndim == 2 and "embed_tokens" not in name
        (hidden if is_hidden else others).append(param)
    adamw = torch.optim.AdamW(
        others, lr=EMBEDDING_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True
    )
    return {"muon": Muon(hidden, lr=MUON_RATE, weight_decay=MUON_DECAY), "adamw": adamw}


class Trainer:
    """One run: the model, its optimisers, the data, and where it stands."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.device = torch.device(args.device)
        torch.manual_seed(args.seed)
        self.decoder = Decoder(Shape()).to(self.device)
        self.optimisers = build_optimisers(self.decoder)
        self.base_rates = {
            kind: [group["lr"] for group in optimiser.param_groups]
            for kind, optimiser in self.optimisers.items()
        }
        self.hidden = torch.compile(self.decoder.hidden, dynamic=False)
        self.mixture = Mixture(args.tokens, args.mixture, args.seed)
        self.validation = Validation(args.valid)
        self.plan = Plan()
        self.progress = checkpoint.load(args.work, self.decoder, self.optimisers) or Progress()
        self.mixture.cursors.update(self.progress.cursors)
        self.mixture.seen.update(self.progress.seen)
        self.stopping = False
        self.log_file = (args.work / "log.jsonl").open("a", encoding="utf-8")

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: finish the step in hand, then leave."""
        self.stopping = True

    def log(self, **values: object) -> None:
        """One JSON line to the log, one readable line to the terminal."""
        self.log_file.write(json.dumps(values) + "\n")
        self.log_file.flush()
        print(" ".join(f"{key}={value}" for key, value in values.items()), flush=True)

    def done(self) -> float:
        """Share of the budget that is used up."""
        return self.progress.seconds / (60 * self.args.minutes)

    def to_device(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Tokens, targets, documents, weights on the device."""
        arrays = (batch.tokens, batch.targets, batch.documents, batch.weights)
        return tuple(torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in arrays)

    def step(self) -> float:
        """One optimiser step; returns the weighted training loss in nats a token."""
        args, done = self.args, self.done()
        long = self.plan.is_long(done)
        rows, length = (args.long_rows, args.long_length) if long else (args.rows, args.length)
        windows = self.mixture.batch(self.plan.phase(done), self.progress.step, rows, length)
        tokens, targets, documents, weights = self.to_device(pack(windows, args.answer_weight))
        loss = self.decoder.loss(self.hidden(tokens, documents), targets, weights)
        loss.backward()
        rate = self.plan.rate(done)
        for kind, optimiser in self.optimisers.items():
            for group, base in zip(optimiser.param_groups, self.base_rates[kind], strict=True):
                group["lr"] = base * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += rows * length
        return float(loss.detach())

    def validate(self) -> None:
        """Log the validation loss of every held-out kind of text."""
        with torch.no_grad():
            for name, result in self.validation.measure(self.decoder, self.device).items():
                self.log(kind="valid", step=self.progress.step, source=name, **result)

    def save(self) -> None:
        """Checkpoint, with the data position."""
        self.progress.cursors = dict(self.mixture.cursors)
        self.progress.seen = dict(self.mixture.seen)
        checkpoint.save(self.args.work, self.decoder, self.optimisers, self.progress)

    def report(self, losses: list[float], seconds: float, tokens: int) -> None:
        """Log the mean loss since the last report, the speed and the time left."""
        left = 60 * self.args.minutes - self.progress.seconds
        self.log(
            kind="train",
            step=self.progress.step,
            tokens=self.progress.tokens,
            minutes=round(self.progress.seconds / 60, 2),
            loss=round(sum(losses) / len(losses), 4),
            rate=round(self.plan.rate(self.done()), 3),
            tokens_per_second=round(tokens / seconds),
            eta_minutes=round(left / 60, 1),
        )

    def run(self) -> None:
        """Train until the budget is used up or someone asks to stop."""
        args = self.args
        losses: list[float] = []
        last = time.monotonic()
        since_report = since_save = 0.0
        tokens_at_report = self.progress.tokens
        next_export = self.progress.seconds + 60
        while self.done() < 1.0 and not self.stopping:
            losses.append(self.step())
            if not math.isfinite(losses[-1]):
                raise SystemExit("the loss is not finite; the last checkpoint stands")
            now = time.monotonic()
            spent, last = now - last, now
            self.progress.seconds += spent
            since_report, since_save = since_report + spent, since_save + spent
            if self.progress.step % args.report_every == 0:
                self.report(losses, since_report, self.progress.tokens - tokens_at_report)
                losses, since_report, tokens_at_report = [], 0.0, self.progress.tokens
            if self.progress.step % args.validate_every == 0:
                self.validate()
            if since_save > 120:
                self.save()
                since_save = 0.0
            if self.progress.seconds > next_export:
                export(self.decoder, args.out)
                next_export = self.progress.seconds + 60 * args.export_minutes
        self.save()
        self.validate()
        export(self.decoder, args.out)
        self.log(kind="end", step=self.progress.step, seen=self.mixture.seen, done=self.done())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, required=True, help="wall budget of the whole run")
    parser.add_argument("--tokens", type=Path, default=Path(".work/base/tokens"))
    parser.add_argument("--valid", type=Path, default=Path(".work/base/valid"))
    parser.add_argument("--mixture", type=Path, default=Path("tools/base/mixture.json"))
    parser.add_argument("--work", type=Path, default=Path(".work/base/checkpoint"))
    parser.add_argument("--out", type=Path, default=Path("src/pretune/bases/embedded"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=48, help="windows in a batch")
    parser.add_argument("--length", type=int, default=256, help="tokens in a window")
    parser.add_argument("--long-rows", type=int, default=12)
    parser.add_argument("--long-length", type=int, default=1024)
    parser.add_argument("--answer-weight", type=float, default=3.0)
    parser.add_argument("--report-every", type=int, default=20, help="steps")
    parser.add_argument("--validate-every", type=int, default=500, help="steps")
    parser.add_argument("--export-minutes", type=float, default=15.0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args)
    signal.signal(signal.SIGTERM, trainer.stop)
    trainer.run()


if __name__ == "__main__":
    main()
