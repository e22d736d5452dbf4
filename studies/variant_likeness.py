"""What the lower bound of likeness costs and catches: questions that mean the same, by people, and
questions put together at random.

    python studies/variant_likeness.py ../shared/data/atec_zh/train.jsonl

The file's rows hold ``text_a``, ``text_b`` and ``label``, ``same`` for those that mean the same.
"""

import json
import sys
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np

from pretune.data.augment.likeness import likeness

BOUNDS = (0.05, 0.08, 0.1, 0.12, 0.15, 0.2)
ROWS = 1000


def main(path: Path) -> None:
    """Print the share of each kind of pair below each bound, and of equal pairs above 0.9."""
    with path.open(encoding="utf-8") as file:
        rows = (json.loads(line) for line in file)
        pairs = list(islice((r for r in rows if r["label"] == "same"), ROWS))
    rng = Random(0)
    same = np.array([likeness(p["text_a"], p["text_b"]) for p in pairs])
    other = np.array([likeness(p["text_a"], rng.choice(pairs)["text_b"]) for p in pairs])
    print("bound  same below  random below")
    for bound in BOUNDS:
        print(f"{bound:5.2f}  {(same < bound).mean():10.3f}  {(other < bound).mean():12.3f}")
    print(f"same above 0.9: {(same > 0.9).mean():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
