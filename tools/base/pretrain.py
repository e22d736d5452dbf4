"""Pre-train the embedded base within a budget of minutes.

    python tools/base/pretrain.py --minutes 80

Stops and resumes anywhere: SIGTERM (or the end of the budget) writes a checkpoint, a new start
with the same arguments goes on from it. On a GPU:

    python tools/base/pretrain.py --device cuda --minutes 5 --rows 128 --length 512 \
        --long-rows 32 --long-length 2048
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType

import checkpoint
import numpy as np
import torch
from checkpoint import Progress
from export import export
from mixture import LAST_MARKER, Batch, Mixture, pack
from model import Decoder, Layer, Shape
from muon import Muon
from schedule import Plan
from torch import Tensor
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


def compiled(decoder: Decoder, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """`decoder.hidden`, compiled: whole on a processor, where that is fastest; layer by layer on a
    GPU, where equal layers are compiled once."""
    if device.type == "cpu":
        return torch.compile(decoder.hidden, dynamic=False)
    return partial(decoder.hidden, through=torch.compile(Layer.forward, dynamic=False))


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
        self.hidden = compiled(self.decoder, self.device)
        self.mixture = Mixture(args.tokens, args.mixture, args.seed)
        self.validation = Validation(args.valid)
        self.plan = Plan()
        self.progress = checkpoint.load(args.work, self.decoder, self.optimisers) or Progress()
        self.mixture.cursors.update(self.progress.cursors)
        self.mixture.seen.update(self.progress.seen)
        self.reader = ThreadPoolExecutor(1)
        self.next: Future[Batch] | None = None
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

    def to_device(self, batch: Batch) -> tuple[Tensor, ...]:
        """Tokens, targets, documents, weights on the device."""
        arrays = (batch.tokens, batch.targets, batch.documents, batch.weights)
        tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        if self.device.type == "cuda":  # a copy from pinned memory does not wait for the device
            return tuple(x.pin_memory().to(self.device, non_blocking=True) for x in tensors)
        return tuple(tensors)

    def shape(self, done: float) -> tuple[int, int]:
        """Rows and length of a batch."""
        args = self.args
        long = self.plan.is_long(done)
        return (args.long_rows, args.long_length) if long else (args.rows, args.length)

    def read(self, step: int) -> Batch:
        """The batch of `step`; where the data stands is that after it."""
        done = self.done()
        rows, length = self.shape(done)
        return pack(
            self.mixture.batch(self.plan.phase(done), step, rows, length), self.args.answer_weight
        )

    def gradients(self, batch: Batch) -> Tensor:
        """Backward of one batch; returns the weighted loss in nats a token."""
        tokens, targets, documents, weights = self.to_device(batch)
        loss = self.decoder.loss(self.hidden(tokens, documents), targets, weights)
        loss.backward()
        return loss.detach()

    def warm_up(self) -> None:
        """Compile for both shapes, before the clock starts."""
        for done in (0.0, 1.0):
            rows, length = self.shape(done)
            began = time.monotonic()
            self.gradients(pack(np.full((rows, length + 1), LAST_MARKER + 1), 1.0))
            self.decoder.zero_grad(set_to_none=True)
            spent = round(time.monotonic() - began, 1)
            self.log(kind="compiled", rows=rows, length=length, seconds=spent)

    def step(self) -> Tensor:
        """One optimiser step, the next batch read meanwhile; returns the loss on the device."""
        batch = (self.next or self.reader.submit(self.read, self.progress.step)).result()
        self.remember_place()
        self.next = self.reader.submit(self.read, self.progress.step + 1)
        loss = self.gradients(batch)
        rate = self.plan.rate(self.done())
        for kind, optimiser in self.optimisers.items():
            for group, base in zip(optimiser.param_groups, self.base_rates[kind], strict=True):
                group["lr"] = base * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.progress.step += 1
        self.progress.tokens += batch.tokens.size
        return loss

    def remember_place(self) -> None:
        """Where the data stands after the batch in hand."""
        self.progress.cursors = dict(self.mixture.cursors)
        self.progress.seen = dict(self.mixture.seen)

    def validate(self) -> None:
        """Log the validation loss of every held-out kind of text."""
        with torch.no_grad():
            for name, result in self.validation.measure(self.decoder, self.device).items():
                self.log(kind="valid", step=self.progress.step, source=name, **result)

    def save(self) -> None:
        """Checkpoint, with the data position."""
        checkpoint.save(self.args.work, self.decoder, self.optimisers, self.progress)

    def report(self, loss: float, seconds: float, tokens: int) -> None:
        """Log the mean loss since the last report, the speed and the time left."""
        left = 60 * self.args.minutes - self.progress.seconds
        self.log(
            kind="train",
            step=self.progress.step,
            tokens=self.progress.tokens,
            minutes=round(self.progress.seconds / 60, 2),
            loss=round(loss, 4),
            rate=round(self.plan.rate(self.done()), 3),
            tokens_per_second=round(tokens / seconds),
            eta_minutes=round(left / 60, 1),
        )

    def run(self) -> None:
        """Train until the budget is used up or someone asks to stop."""
        args = self.args
        losses: list[Tensor] = []
        self.warm_up()
        last = time.monotonic()
        since_report = since_save = 0.0
        tokens_at_report = self.progress.tokens
        next_export = self.progress.seconds + 60
        while self.done() < 1.0 and not self.stopping:
            losses.append(self.step())
            reporting = self.progress.step % args.report_every == 0
            loss = float(torch.stack(losses).mean()) if reporting else 0.0  # waits for the device
            if not math.isfinite(loss):
                raise SystemExit("the loss is not finite; the last checkpoint stands")
            now = time.monotonic()
            spent, last = now - last, now
            self.progress.seconds += spent
            since_report, since_save = since_report + spent, since_save + spent
            if reporting:
                self.report(loss, since_report, self.progress.tokens - tokens_at_report)
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
        self.log(
            kind="end",
            step=self.progress.step,
            tokens=self.progress.tokens,
            seconds=round(self.progress.seconds, 1),
            seen=self.progress.seen,
            done=self.done(),
            machine=machine(self.device),
            batch={"rows": args.rows, "length": args.length,
                   "long_rows": args.long_rows, "long_length": args.long_length},
        )  # fmt: skip


def machine(device: torch.device) -> str:
    """What the run was made on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads"


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
