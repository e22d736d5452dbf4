"""How much of what is private is found, by type and language, and how much else.

    python studies/privacy_recall.py [--rows 2000] [--seed 0] [--misses]
    python studies/privacy_recall.py --real ../shared/data/msra_ner_zh/test.jsonl --person PER
    python studies/privacy_recall.py --plain ../shared/data/banking77/test.jsonl

The labelled rows are made by the rules in ``studies/privacy`` from values of Faker. ``found``: all
letters and digits of the value are replaced, under whatever type: what recall of privacy means.
``exact``: also the type and the ends are right. Precision is the share of replacements that touch
no more than a value of any type. ``--real``: rows with spans made by people, of names alone.
``--plain``: rows in which nothing is private, and how many replacements they would suffer.
``--misses`` prints values that were missed, which are nobody's; not with ``--real``.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scipy.stats import binomtest

from pretune.data.privacy.detector import Detector
from pretune.data.privacy.found import Found, PrivateType
from pretune.data.rules.book import Book
from pretune.data.rules.make import Maker
from pretune.data.splits import Split
from pretune.spec.rules import parse_rules
from pretune.spec.yamlfile import parse_yaml

sys.path.insert(0, str(Path(__file__).parent / "privacy"))
from values import LOCALES, write_values


def made_rows(language: str, count: int, seed: int) -> Iterator[Mapping[str, Any]]:
    """Labelled rows: columns ``text`` and ``spans``."""
    rules = Path(__file__).parent / "privacy" / f"{language}.yaml"
    with TemporaryDirectory() as folder:
        write_values(Path(folder), language, count, seed)
        spec = parse_rules(parse_yaml(rules.read_text("utf-8")), folder=Path(folder))
        for row in Maker(Book(spec), count, seed, Split.TRAIN).rows():
            yield row.fields


def real_rows(path: Path, person: str) -> Iterator[Mapping[str, Any]]:
    """Rows with spans under ``entities``, of which those called ``person`` are names of people."""
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        spans = [{**one, "type": "PERSON"} for one in row["entities"] if one["type"] == person]
        yield {"text": row["text"], "spans": spans}


def plain_counts(path: Path) -> str:
    """Replacements by type in rows that hold nothing private."""
    counts, rows = Counter[str](), 0
    for line in path.read_text("utf-8").splitlines():
        counts.update(one.type.lower() for one in Detector().find(json.loads(line)["text"]))
        rows += 1
    return f"{path.parent.name}: {rows} rows, replaced: {dict(counts)}"


class Score:
    """Counts by type: values, those found, those exact; replacements, those that are right."""

    def __init__(self, detector: Detector, *, misses: bool = False) -> None:
        self._detector = detector
        self._misses = misses
        self.values, self.found, self.exact = Counter[str](), Counter[str](), Counter[str]()
        self.replaced, self.right = Counter[str](), Counter[str]()
        self.rows = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Look at one row."""
        text, found = row["text"], self._detector.find(row["text"])
        covered = {place for one in found for place in range(one.start, one.end)}
        private: set[int] = set()
        ends = {(one.type, one.start, one.end) for one in found}
        for span in row.get("spans", ()):
            places = [p for p in range(span["start"], span["end"]) if text[p].isalnum()]
            private.update(range(span["start"], span["end"]))
            self.values[span["type"]] += 1
            self.found[span["type"]] += covered.issuperset(places)
            self.exact[span["type"]] += (span["type"], span["start"], span["end"]) in ends
            if self._misses and not covered.issuperset(places):
                print("missed", span["type"], repr(text[max(0, span["start"] - 12) : span["end"]]))
        for one in found:
            self.replaced[one.type] += 1
            self.right[one.type] += _only(text, one, private)
            if self._misses and not _only(text, one, private):
                print("wrong", one.type, repr(text[max(0, one.start - 8) : one.end + 8]))
        self.rows += 1

    def table(self, language: str) -> Iterator[str]:
        """Lines of a Markdown table."""
        for kind in PrivateType:
            values, replaced = self.values[kind], self.replaced[kind]
            if values or replaced:
                shares = (
                    _share(self.found[kind], values),
                    _share(self.exact[kind], values),
                    _share(self.right[kind], replaced),
                )
                yield f"| {language} | {kind.lower()} | {values} | {' | '.join(shares)} |"


def _only(text: str, found: Found, private: set[int]) -> bool:
    return all(p in private for p in range(found.start, found.end) if text[p].isalnum())


def _share(part: int, of: int) -> str:
    """A share with its 95 % interval (Wilson)."""
    if not of:
        return "-"
    interval = binomtest(part, of).proportion_ci(method="wilson")
    return f"{part / of:.3f} ({interval.low:.3f}-{interval.high:.3f})"


def main() -> None:
    """Make or read rows, look, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--person", default="PER")
    parser.add_argument("--plain", type=Path)
    options = parser.parse_args()
    if options.plain:
        print(plain_counts(options.plain))
        return
    print("| rows | type | values | recall, found | recall, exact | precision |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    if options.real:
        score = Score(Detector([PrivateType.PERSON]))
        for row in real_rows(options.real, options.person):
            score.add(row)
        print("\n".join(score.table(f"{options.real.parent.name}, {score.rows} rows")))
        return
    for language in LOCALES:
        score = Score(Detector(), misses=options.misses)
        for row in made_rows(language, options.rows, options.seed):
            score.add(row)
        print("\n".join(score.table(language)))


if __name__ == "__main__":
    main()
