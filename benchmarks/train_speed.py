"""Training speed and peak memory: pretune against PEFT with transformers' Trainer.

Both tune LoRA on all linear layers of the same base, on the same rows in the same batches and
order, with AdamW in float32. Each run is a process of its own; the sides take turns, and medians
are compared, by the wall clock and by processor time (for a busy machine). The losses of the
first step, at which no adapter has an effect yet, must agree.

    python benchmarks/train_speed.py
    python benchmarks/train_speed.py --data rows.jsonl --steps 40 --json

Rows of ``--data`` have ``prompt`` and ``answer``; without it they are made here.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

SIDES = ("peft", "pretune", "pretune-prompt")
"""The last one is pretune's own scope; the one before computes what PEFT does."""

RANK, ALPHA, RATE, WARM = 8, 16, 1e-3, 3
"""``WARM`` first steps are not timed."""

WORDS = ("account", "card", "fee", "transfer", "branch", "loan", "rate", "late", "refund", "limit")


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=SIDES, help="run one side here and print its figures")
    return parser.parse_args()


def read_rows(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Prompt and answer of as many rows as the steps need."""
    count = options.steps * options.batch_size
    if options.data is None:
        chance = random.Random(0)
        return [
            (
                " ".join(chance.choices(WORDS, k=chance.randint(8, 40))) + "?",
                " ".join(chance.choices(WORDS, k=chance.randint(1, 12))),
            )
            for _ in range(count)
        ]
    rows = [json.loads(line) for line in options.data.open(encoding="utf-8")]
    return [(rows[i % len(rows)]["prompt"], rows[i % len(rows)]["answer"]) for i in range(count)]


def tokenized(options, base):
    """The rows as training examples, each with room to spare in the base's context."""
    from pretune.core.records import TokenExample
    from pretune.core.segments import Role, Turn

    found = []
    for number, (prompt, answer) in enumerate(read_rows(options), 1):
        turns = (Turn(Role.USER, prompt), Turn(Role.TARGET, answer))
        segments = base.renderer.encode(base.renderer.render(turns))
        found.append(TokenExample(f"rows:{number}", segments))
    return [e for e in found if len(e) <= base.renderer.context_length]


class Stopwatch:
    """Times of steps; an event sink on the one side, asked by a callback on the other."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self.losses: list[float] = []

    def tick(self) -> None:
        """A step is done."""
        self.times.append((time.perf_counter(), time.process_time()))

    def emit(self, event) -> None:
        """Listen to pretune."""
        if event.kind == "train.step":
            self.tick()
            self.losses.append(event.values["loss"])

    def figures(self, memory) -> dict[str, float]:
        """Seconds by the wall and by the processors, bytes, losses."""
        steps = len(self.times) - WARM
        wall, cpu = (
            (b - a) / steps for a, b in zip(self.times[WARM - 1], self.times[-1], strict=True)
        )
        return {
            "step_seconds": wall,
            "step_cpu_seconds": cpu,
            "peak_memory": memory.read(),
            "first_loss": self.losses[0],
            "last_loss": self.losses[-1],
        }


def run_pretune(options, scope: str) -> dict[str, float]:
    """One training by pretune."""
    from pretune.adapters.injection import Injection
    from pretune.adapters.tunable import tuning
    from pretune.bases import load_base
    from pretune.core.scope import Scope
    from pretune.spec.methods import LoraConfig
    from pretune.spec.training import TrainSpec
    from pretune.training.loop import train
    from pretune.training.memory import PeakMemory

    base = load_base(options.base)
    examples, watch, memory = tokenized(options, base), Stopwatch(), PeakMemory(base.device)
    spec = TrainSpec(
        epochs=1, max_steps=options.steps, batch_size=options.batch_size, learning_rate=RATE
    )
    config = LoraConfig(rank=RANK, alpha=ALPHA)
    with (
        tempfile.TemporaryDirectory() as folder,
        tuning(Injection(base), config, Scope(scope)) as tunable,
    ):
        train(tunable, examples, spec, Path(folder), sinks=[watch])
    return watch.figures(memory)


def run_peft(options) -> dict[str, float]:
    """The same training by PEFT and Trainer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from pretune.bases import load_base
    from pretune.data.batches import LengthBuckets
    from pretune.training.memory import PeakMemory

    base = load_base(options.base)
    examples, watch, memory = tokenized(options, base), Stopwatch(), PeakMemory(base.device)
    order = LengthBuckets([len(e) for e in examples], options.batch_size, seed=0).batches(0)
    rows = [
        {
            "input_ids": [i for s in examples[k].segments for i in s.ids],
            "labels": [
                i if s.role.written_by_model else -100 for s in examples[k].segments for i in s.ids
            ],
        }
        for batch in order
        for k in batch
    ]

    def collate(some):
        width = max(len(row["input_ids"]) for row in some)

        def padded(name, fill):
            return torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in some])

        mask = torch.tensor([[i < len(row["input_ids"]) for i in range(width)] for row in some])
        return {
            "input_ids": padded("input_ids", 0),
            "labels": padded("labels", -100),
            "attention_mask": mask.long(),
        }

    class InOrder(Trainer):
        def _get_train_sampler(self, *_args):
            return SequentialSampler(rows)

    class Timed(TrainerCallback):
        def on_step_end(self, *_args, **_kwargs):
            watch.tick()

        def on_log(self, _args, _state, _control, logs=None, **_kwargs):
            if "loss" in logs:
                watch.losses.append(float(logs["loss"]))

    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=options.steps,
            per_device_train_batch_size=options.batch_size,
            learning_rate=RATE,
            warmup_steps=max(1, round(0.06 * options.steps)),
            logging_steps=max(1, options.steps - 1),
            logging_first_step=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        )
        model = get_peft_model(base.model, config)
        InOrder(model, arguments, collate, rows, callbacks=[Timed()]).train()
    return watch.figures(memory)


def run_side(options) -> None:
    """Print one side's figures as JSON, for the process that compares."""
    warnings.simplefilter("ignore")
    if options.side == "peft":
        figures = run_peft(options)
    else:
        figures = run_pretune(options, "prompt" if options.side == "pretune-prompt" else "all")
    print(json.dumps(figures))


def compare(options) -> dict[str, object]:
    """Medians of every side, and pretune's ratio to PEFT (above 1 is faster)."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(options.repeats):
        for side in SIDES:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[side].append(json.loads(out.strip().splitlines()[-1]))
    result: dict[str, object] = {}
    for side, runs in found.items():
        result[side] = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, key in (("speed", "step_seconds"), ("cpu_speed", "step_cpu_seconds")):
            ratios = [peft[key] / own[key] for peft, own in zip(found["peft"], runs, strict=True)]
            result[side][f"{name}_over_peft"] = statistics.median(ratios)
    first = [result[side]["first_loss"] for side in SIDES]
    if max(first) - min(first) > 1e-3:
        raise SystemExit(f"the sides do not train on the same loss at the start: {first}")
    return result


def main() -> None:
    """Compare the sides, or run one."""
    options = parse()
    if options.side:
        run_side(options)
        return
    result = compare(options)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{'':16}{'s/step':>9}{'speed':>8}{'by cpu':>8}{'peak MiB':>10}{'last loss':>11}")
    for side, figures in result.items():
        print(
            f"{side:16}{figures['step_seconds']:9.3f}{figures['speed_over_peft']:8.2f}"
            f"{figures['cpu_speed_over_peft']:8.2f}"
            f"{figures['peak_memory'] / 2**20:10.0f}{figures['last_loss']:11.3f}"
        )


if __name__ == "__main__":
    main()
