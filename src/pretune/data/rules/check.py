"""What is wrong with rules: contradictions, what is never said, what words alone give away."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from random import Random
from typing import Any

from pretune.data.rules.book import Book, Rule
from pretune.data.rules.draw import Draw, Unfit
from pretune.data.rules.leak import Probe, probe
from pretune.data.rules.make import asked_id, draw_fields, draw_negatives
from pretune.data.rules.report import Fault, Finding, RuleCount, RulesReport
from pretune.data.splits import Split
from pretune.spec.rules import RulesSpec

_LEAST_DRAWS = 200
"""Draws of each rule at least, however small its weight."""

_EXPECTED = 10.0
"""What should have come so often and never came does not come at all: 1 - exp(-10)."""

_MOST_PAIRED = 40
"""Phrases of a slot beyond which its pairs are not counted."""


@dataclass
class _Sample:
    """What came out of all draws."""

    counts: dict[str, RuleCount] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    in_turn: set[str] = field(default_factory=set)
    picks: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    pairs: dict[tuple[str, str], Counter[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    asked: dict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    phrasings: list[tuple[str, int]] = field(default_factory=list)
    examples: list[Mapping[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, fault: Fault, said: str) -> None:
        self.findings.append(Finding(fault, said))


def check_rules(rules: RulesSpec, *, draws: int = 2000, seed: int = 0) -> RulesReport:
    """Draw some ``draws`` rows as for training, and say what is wrong with the rules.

    A finding rests on what was drawn; what is rarer than one in a few hundred draws is not seen.

    Raises:
        SpecError: rules that cannot work at all; see :class:`pretune.data.rules.book.Book`.
        DataError: a words or table file that cannot be read.
    """
    book, sample = Book(rules), _Sample()
    total = sum(rule.weight for rule in book.rules)
    for number, rule in enumerate(book.rules):
        count = max(_LEAST_DRAWS, round(draws * rule.weight / total))
        _draw(book, rule, count, Random(f"{seed}/check/{number}"), sample)
    _contradictions(book, sample)
    _unreachable(book, sample)
    pairs = _pairs(book, sample)
    if not sample.labels:
        found = Probe(None, 0.0, (), "no rule made a row")
    else:
        found = probe(sample.texts, sample.labels, sample.phrasings)
    _leakage(found, sample)
    return RulesReport(
        rules.name,
        sample.counts,
        dict(sample.answers.most_common()),
        {n: len(sample.picks[n]) / len(book.usable(n, Split.TRAIN)) for n in _listed(book)},
        pairs,
        found,
        tuple(sample.findings),
        tuple(sample.examples),
    )


def _draw(book: Book, rule: Rule, count: int, rng: Random, sample: _Sample) -> None:
    target, unfit = book.spec.target, Counter[str]()
    different: set[int] = set()
    for _ in range(count):
        draw = Draw(book, rule, Split.TRAIN, rng)
        try:
            fields = draw_fields(rule, draw)
        except Unfit as error:
            unfit[error.rule_part] += 1
            continue
        if not different:
            sample.examples.append(fields)
        different.add(asked_id(fields, target))
        sample.in_turn.add(str(fields[target]))
        _note(sample, rule, fields, target, draw)
        for twin in draw_negatives(rule, fields, draw, target):
            _note(sample, rule, twin, target, draw)
    kept = count - unfit.total()
    sample.counts[rule.name] = RuleCount(count, kept, len(different))
    if not kept:
        reason, times = unfit.most_common(1)[0]
        sample.find(
            Fault.CONTRADICTION, f"{rule.name}: {reason} failed in {times} of {count} draws"
        )


def _note(sample: _Sample, rule: Rule, fields: Mapping[str, Any], target: str, draw: Draw) -> None:
    answer = str(fields[target])
    text = "\n".join(v for k, v in fields.items() if k != target and isinstance(v, str))
    sample.asked[asked_id(fields, target)].setdefault(answer, rule.name)
    sample.answers[answer] += 1
    sample.texts.append(text)
    sample.labels.append(answer)
    book = draw.book
    # The phrase that makes the row what it is: of the slot that the fewest rules share.
    picks = [(-book.reached[name], len(book.said(name, n)), name, n) for name, n in draw.picks]
    *_, name, number = max(picks, default=(0, 0, rule.name, 0))
    sample.phrasings.append((name, number))
    first: dict[str, int] = {}
    for name, number in draw.picks:
        sample.picks[name][number] += 1
        first.setdefault(name, number)
    few = sorted(name for name in first if book.count(name) <= _MOST_PAIRED)
    for a, b in combinations(few, 2):
        sample.pairs[a, b][first[a], first[b]] += 1


def _contradictions(book: Book, sample: _Sample) -> None:
    clashes: Counter[tuple[str, str]] = Counter()
    for by_answer in sample.asked.values():
        for pair in combinations(sorted(by_answer.items()), 2):
            (one, first), (other, second) = pair
            clashes[f'"{one}" by {first}', f'"{other}" by {second}'] += 1
    for (one, other), count in clashes.most_common(5):
        sample.find(Fault.CONTRADICTION, f"{count} prompts are answered both {one} and {other}")
    if book.spec.quotas:
        for answer in sorted(book.spec.quotas.keys() - sample.in_turn):
            sample.find(Fault.CONTRADICTION, f'no draw is answered "{answer}", which has a quota')
        for answer in sorted(sample.in_turn - book.spec.quotas.keys()):
            sample.find(Fault.COVERAGE, f'answer "{answer}" has no quota, so it is never made')


def _unreachable(book: Book, sample: _Sample) -> None:
    own = {*book.spec.slots, *book.spec.tables}
    for name in sorted(own - book.reached.keys()):
        sample.find(Fault.UNREACHABLE, f'"{name}" is never said by any rule')
    for name in _listed(book):
        usable, taken = book.usable(name, Split.TRAIN), sample.picks[name]
        weights = {i: book.weight(name, i) for i in usable}
        for i in usable:
            expected = taken.total() * weights[i] / sum(weights.values())
            if not taken[i] and expected >= _EXPECTED:
                sample.find(
                    Fault.UNREACHABLE,
                    f'number {i + 1} of "{name}" was never taken in {taken.total()} draws',
                )
        if not taken.total() and not book.spec.hold_out.phrases:  # others may say it in test
            sample.find(Fault.UNREACHABLE, f'nothing of "{name}" was ever taken')


def _pairs(book: Book, sample: _Sample) -> dict[tuple[str, str], float]:
    """Share seen of the combinations of each two slots; reports those that never meet."""
    shares = {}
    for (a, b), met in sorted(sample.pairs.items()):
        ones, others = Counter[int](), Counter[int]()
        for (i, j), count in met.items():
            ones[i] += count
            others[j] += count
        possible = len(book.usable(a, Split.TRAIN)) * len(book.usable(b, Split.TRAIN))
        shares[a, b] = len(met) / possible
        apart = sum(
            ones[i] * others[j] / met.total() >= _EXPECTED and not met[i, j]
            for i in ones
            for j in others
        )
        if apart:
            sample.find(
                Fault.COVERAGE,
                f'{apart} of {possible} pairs of "{a}" and "{b}" never stand together',
            )
    return shares


def _leakage(found: Probe, sample: _Sample) -> None:
    if found.solves:
        sample.find(
            Fault.LEAKAGE,
            f"single words solve the task: {found.accuracy:.1%} right on unseen phrasings "
            f"(the most common answer alone: {found.majority:.1%}); add hard negatives, or phrases "
            "that share their words",
        )
    by_answer: dict[str, list[str]] = defaultdict(list)
    for cue in found.cues:
        by_answer[cue.answer].append(f'"{cue.word}" ({cue.share:.0%})')
    for answer, words in by_answer.items():
        sample.find(
            Fault.LEAKAGE,
            f'words of answer "{answer}" alone, with the share of its rows: {", ".join(words[:5])}',
        )


def _listed(book: Book) -> list[str]:
    """Slots of phrases and tables that rules come across."""
    return sorted(name for name in book.reached if book.count(name))
