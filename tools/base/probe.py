"""Probe the embedded base: full fine-tuning on three public tasks, with the chat template.

    python tools/base/probe.py sst2 banking77 e2e_nlg

The system turn holds the instruction, the user turn the text, the assistant turn the label words
(underscores as spaces) or the sentence. A label is predicted by the highest total log-probability
among all labels; sentences are decoded greedily and compared with the references by chrF (character
n-grams up to 6, beta 2, best reference). The learning rate is chosen on validation rows.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

INSTRUCTIONS = {
    "sst2": "What is the sentiment of this text?",
    "banking77": "What does the customer want?",
    "e2e_nlg": "Describe it in a sentence.",
}
IGNORED = -100


@dataclass(frozen=True)
class Row:
    """One example: prompt token ids, answer token ids (end included), accepted answers."""

    prompt: list[int]
    answer: list[int]
    accepted: list[str]


class Task:
    """Rows of one data folder, rendered and tokenised."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerBase, limit: int) -> None:
        self.name = folder.name
        self.tokenizer = tokenizer
        note = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        self.labels = [label.replace("_", " ") for label in note.get("labels", [])]
        self.label_ids = [self.answer_ids(label) for label in self.labels]
        self.train = self.load(folder / "train.jsonl")[:limit]
        self.validation = self.load(folder / "validation.jsonl")
        self.test = self.load(folder / "test.jsonl")

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer and the end token."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [*ids, self.tokenizer.eos_token_id]

    def load(self, path: Path) -> list[Row]:
        """All rows of a split."""
        rows = []
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line:
                rows.append(self.row(json.loads(line)))
        return rows

    def row(self, raw: dict) -> Row:
        """One raw row as token ids."""
        messages = [
            {"role": "system", "content": INSTRUCTIONS[self.name]},
            {"role": "user", "content": raw["text"] if self.labels else raw["input"]},
        ]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        answer = raw["label"].replace("_", " ") if self.labels else raw["target"]
        prompt = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return Row(prompt, self.answer_ids(answer), raw.get("references", [answer]))


def padded(sequences: list[list[int]], fill: int) -> Tensor:
    """A [rows, longest] tensor, filled on the right."""
    longest = max(map(len, sequences))
    return torch.tensor([ids + [fill] * (longest - len(ids)) for ids in sequences])


def answer_loss(model: nn.Module, rows: list[Row], pad: int) -> Tensor:
    """Mean loss over the answer tokens of a batch."""
    ids = padded([row.prompt + row.answer for row in rows], pad)
    targets = padded([[IGNORED] * len(row.prompt) + row.answer for row in rows], IGNORED)
    hidden = model.model(ids).last_hidden_state[:, :-1]
    wanted = targets[:, 1:]
    logits = model.lm_head(hidden[wanted != IGNORED])
    return F.cross_entropy(logits.float(), wanted[wanted != IGNORED])


def fine_tune(base: nn.Module, task: Task, args: argparse.Namespace, rate: float) -> nn.Module:
    """A copy of the base, all weights trained: warm-up over 5 %, then linear decay."""
    model = copy.deepcopy(base).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, fused=True)
    rng = random.Random(args.seed)
    per_epoch = len(task.train) // args.batch
    total = per_epoch * args.epochs
    for step in range(total):
        if step % per_epoch == 0:
            order = sorted(task.train, key=lambda row: len(row.prompt) + rng.uniform(-8, 8))
            starts = [place * args.batch for place in range(per_epoch)]
            rng.shuffle(starts)
        done = step / total
        optimiser.param_groups[0]["lr"] = rate * min(done / 0.05 + 0.01, (1 - done) / 0.95)
        start = starts[step % per_epoch]
        batch = order[start : start + args.batch]
        with torch.autocast("cpu", torch.bfloat16):
            loss = answer_loss(model, batch, task.tokenizer.pad_token_id)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return model.eval()


@torch.no_grad()
def predict_labels(model: nn.Module, task: Task, rows: list[Row]) -> list[str]:
    """The best label of every row; a prompt is read once, every label after its cache."""
    longest = max(map(len, task.label_ids))
    labels = padded(task.label_ids, IGNORED)
    inputs = labels.clamp(min=0)[:, : longest - 1]
    best = []
    for row in rows:
        out = model(torch.tensor([row.prompt]), use_cache=True)
        cache = out.past_key_values
        cache.batch_repeat_interleave(len(task.label_ids))
        first = out.logits[:, -1:].expand(len(task.label_ids), 1, -1)
        rest = model(inputs, past_key_values=cache).logits if longest > 1 else first[:, :0]
        log_probs = torch.cat([first, rest], dim=1).float().log_softmax(-1)
        picked = log_probs.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)
        best.append(task.labels[int((picked * (labels != IGNORED)).sum(-1).argmax())])
    return best


@torch.no_grad()
def write_sentences(model: nn.Module, task: Task, rows: list[Row]) -> list[str]:
    """Greedy answers."""
    written = []
    for row in rows:
        prompt = torch.tensor([row.prompt])
        out = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=80
        )
        written.append(task.tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True))
    return written


def chrf(said: str, reference: str, longest: int = 6, beta: float = 2.0) -> float:
    """Character n-gram F-score in percent, whitespace left out (Popovic 2015)."""
    said, reference = "".join(said.split()), "".join(reference.split())
    scores = []
    for size in range(1, longest + 1):
        ours = Counter(said[i : i + size] for i in range(len(said) - size + 1))
        theirs = Counter(reference[i : i + size] for i in range(len(reference) - size + 1))
        if ours and theirs:
            shared = sum((ours & theirs).values())
            precision, recall = shared / ours.total(), shared / theirs.total()
            weighted = beta**2 * precision + recall
            scores.append((1 + beta**2) * precision * recall / weighted if weighted else 0.0)
    return 100 * sum(scores) / len(scores) if scores else 0.0


def score(model: nn.Module, task: Task, rows: list[Row]) -> float:
    """Accuracy in percent, or mean chrF against the best reference."""
    if task.labels:
        predicted = predict_labels(model, task, rows)
        right = sum(said in row.accepted for said, row in zip(predicted, rows, strict=True))
        return 100 * right / len(rows)
    written = write_sentences(model, task, rows)
    pairs = zip(written, rows, strict=True)
    best = [max(chrf(said, reference) for reference in row.accepted) for said, row in pairs]
    return sum(best) / len(best)


def probe(base: nn.Module, task: Task, args: argparse.Namespace) -> dict[str, object]:
    """Fine-tune at every learning rate, keep the best on validation rows, score the test rows."""
    began = time.monotonic()
    tried: dict[float, float] = {}
    best: nn.Module = base
    for rate in args.rates:
        model = fine_tune(base, task, args, rate)
        tried[rate] = round(score(model, task, task.validation[: args.validation_rows]), 2)
        print(f"{task.name} rate {rate}: validation {tried[rate]}", flush=True)
        if tried[rate] == max(tried.values()):
            best = model
    result: dict[str, object] = {
        "task": task.name,
        "metric": "accuracy" if task.labels else "chrF, best reference",
        "train_rows": len(task.train),
        "epochs": args.epochs,
        "validation_by_rate": tried,
        "test": round(score(best, task, task.test[: args.test_rows]), 2),
        "test_rows": len(task.test[: args.test_rows]),
    }
    if not task.labels:
        result["samples"] = write_sentences(best, task, task.test[:5])
    result["minutes"] = round((time.monotonic() - began) / 60, 1)
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+", choices=list(INSTRUCTIONS))
    parser.add_argument("--model", type=Path, default=Path("src/pretune/bases/embedded"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-4, 1e-3])
    parser.add_argument("--validation-rows", type=int, default=300)
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    for name in args.tasks:
        print(json.dumps(probe(base, Task(args.data / name, tokenizer, args.rows), args), indent=1))


if __name__ == "__main__":
    main()
