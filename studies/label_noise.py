"""Do doubted labels find wrong ones? Labels of a real set are made wrong, and looked for.

    python studies/label_noise.py ROWS.jsonl [--share 0.1] [--rows 5000] [--seed 0]

``ROWS.jsonl`` has columns ``text`` and ``label``. A share of the rows gets another label, drawn
evenly. Printed are precision and recall of the k most doubted rows, and of the candidates, beside
what a random choice of k rows would find.
"""

import argparse
import json
from pathlib import Path
from random import Random

import numpy as np

from pretune.data.clean.noise import doubts


def main() -> None:
    """Plant, look, print."""
    options = _options()
    lines = options.rows_file.read_text("utf-8").splitlines()[: options.rows]
    rows = [json.loads(line) for line in lines]
    texts, labels = [row["text"] for row in rows], [str(row["label"]) for row in rows]
    known, rng = sorted(set(labels)), Random(options.seed)
    planted = np.zeros(len(rows), bool)
    for row in rng.sample(range(len(rows)), round(options.share * len(rows))):
        labels[row] = rng.choice([label for label in known if label != labels[row]])
        planted[row] = True
    found = doubts(texts, labels, options.seed)
    wrong = int(planted.sum())
    print(f"{options.rows_file}: {len(rows)} rows, {len(known)} labels, {wrong} made wrong")
    print("| k | precision | recall | random |\n| ---: | ---: | ---: | ---: |")
    order = np.argsort(-found.margin, kind="stable")
    for k in (wrong // 4, wrong // 2, wrong, 2 * wrong):
        hits = int(planted[order[:k]].sum())
        print(f"| {k} | {hits / k:.3f} | {hits / wrong:.3f} | {wrong / len(rows):.3f} |")
    chosen = int(found.candidate.sum())
    hits = int(planted[found.candidate].sum())
    print(f"candidates: {chosen}, precision {hits / chosen:.3f}, recall {hits / wrong:.3f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows_file", type=Path)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
