"""The data report: what became of every row, before any training."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.core.origin import RowKind
from pretune.core.records import TokenExample, total_tokens
from pretune.data.rejected import Reason, Rejected
from pretune.data.splits import Split

_LABELS_SHOWN = 12


class Lengths(NamedTuple):
    """Token counts of a split's rows: median, 95th percentile, longest."""

    p50: int = 0
    p95: int = 0
    max: int = 0

    @classmethod
    def of(cls, counts: Sequence[int]) -> "Lengths":
        """Nearest-rank percentiles; zeros for no rows."""
        if not counts:
            return cls()
        ranked = sorted(counts)
        last = len(ranked) - 1
        return cls(ranked[last // 2], ranked[-(-last * 95 // 100)], ranked[-1])


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What became of one split's rows. ``dropped`` counts by reason; ``repeated`` counts kept rows
    that ask what an earlier one asks; ``labels`` counts kept rows by label, ``kinds`` by who made
    them."""

    kept: int
    dropped: Mapping[str, int]
    truncated: int
    repeated: int
    labels: Mapping[str, int]
    kinds: Mapping[RowKind, int]
    prompt_tokens: Lengths
    target_tokens: Lengths
    target_total: int

    @property
    def read(self) -> int:
        """Rows of the split before anything was dropped."""
        return self.kept + sum(self.dropped.values())

    @classmethod
    def of(
        cls,
        examples: Sequence[TokenExample],
        rejected: Sequence[Rejected],
        *,
        truncated: int,
        repeated: int,
        labels: Mapping[str, str] | None,
        kinds: Mapping[RowKind, int],
    ) -> "SplitReport":
        """The report on kept ``examples`` and ``rejected`` rows."""
        reasons = Counter(row.reason for row in rejected)
        found = Counter(example.label for example in examples)
        prompts = [total_tokens(example.prompt) for example in examples]
        targets = [len(e) - length for e, length in zip(examples, prompts, strict=True)]
        return cls(
            kept=len(examples),
            dropped={reason.value: reasons[reason] for reason in Reason if reasons[reason]},
            truncated=truncated,
            repeated=repeated,
            labels={label: found[label] for label in labels or ()},
            kinds={kind: kinds.get(kind, 0) for kind in RowKind},
            prompt_tokens=Lengths.of(prompts),
            target_tokens=Lengths.of(targets),
            target_total=sum(targets),
        )


@dataclass(frozen=True, slots=True)
class DataReport:
    """The report on a task's data; holds counts, labels and row numbers, never a row's content."""

    task: str
    splits: Mapping[Split, SplitReport]
    digest: str

    @property
    def findings(self) -> list[str]:
        """What a person should look at, in sentences."""
        found = []
        for split, report in self.splits.items():
            for reason, count in report.dropped.items():
                found.append(f"{split}: {count} of {report.read} rows dropped ({reason})")
            if report.truncated:
                found.append(f"{split}: the context of {report.truncated} rows was cut to fit")
            if split is not Split.TRAIN and (not_seed := report.kept - report.kinds[RowKind.SEED]):
                found.append(
                    f"{split}: {not_seed} of {report.kept} rows were not labelled by people: "
                    "numbers on them say how well rules, a teacher or variants are met"
                )
            if report.repeated:
                found.append(f"{split}: {report.repeated} rows ask what an earlier row asks")
        train = self.splits[Split.TRAIN].labels
        if unseen := [label for label, count in train.items() if not count]:
            found.append(f"train: no row with label {_some(unseen)}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "task": self.task,
            "digest": self.digest,
            "splits": {
                split.value: {"read": report.read, **_jsonable(report)}
                for split, report in self.splits.items()
            },
            "findings": self.findings,
        }

    def render(self) -> RenderableType:
        """The report for a terminal: a table of the splits, the labels, and the findings."""
        splits = {split: report for split, report in self.splits.items() if report.read}
        table = Table(title=Text(f"Data of {self.task}"), title_justify="left")
        table.add_column("", no_wrap=True)
        for split in splits:
            table.add_column(split.value, justify="right")
        for name, cells in _lines(list(splits.values())):
            table.add_row(name, *cells)
        table.caption = "lengths in tokens: median / 95th percentile / longest"
        table.caption_justify = "left"
        parts: list[RenderableType] = [table]
        if any(report.labels for report in splits.values()):
            parts.append(_label_table(splits))
        parts.extend(Text(f"• {finding}") for finding in self.findings)
        return Group(*parts)


def _lines(reports: Sequence[SplitReport]) -> list[tuple[str, list[str]]]:
    """Rows of the table; reasons that no split has are left out."""

    def counts(name: str, values: Sequence[int]) -> tuple[str, list[str]]:
        return name, [f"{value:,}" for value in values]

    def lengths(name: str, values: Sequence[Lengths]) -> tuple[str, list[str]]:
        return name, [f"{value.p50:,} / {value.p95:,} / {value.max:,}" for value in values]

    lines = [counts("rows read", [r.read for r in reports])]
    lines.append(counts("rows kept", [r.kept for r in reports]))
    for reason in Reason:
        dropped = [r.dropped.get(reason.value, 0) for r in reports]
        if any(dropped):
            lines.append(counts(f"  dropped: {reason.value}", dropped))
    for kind in (RowKind.SYNTHETIC, RowKind.AUGMENTED):
        if any(made := [r.kinds[kind] for r in reports]):
            lines.append(counts(f"  of them {kind}", made))
    lines.append(counts("context cut", [r.truncated for r in reports]))
    lines.append(counts("repeated, kept", [r.repeated for r in reports]))
    lines.append(lengths("prompt length", [r.prompt_tokens for r in reports]))
    lines.append(lengths("target length", [r.target_tokens for r in reports]))
    lines.append(counts("target tokens", [r.target_total for r in reports]))
    return lines


def _label_table(splits: Mapping[Split, SplitReport]) -> Table:
    """Counts by label, most frequent first; of many labels the ends are shown."""
    table = Table(title="Labels", title_justify="left")
    table.add_column("")
    for split in splits:
        table.add_column(split.value, justify="right")
    totals: Counter[str] = Counter()
    for report in splits.values():
        totals.update(report.labels)
    ranked = [label for label, _ in totals.most_common()]
    half = _LABELS_SHOWN // 2
    shown = ranked if len(ranked) <= _LABELS_SHOWN else [*ranked[:half], "", *ranked[-half:]]
    for label in shown:
        if label:
            cells = [_share(report, label) for report in splits.values()]
            table.add_row(Text(label), *cells)
        else:
            table.add_row(f"… {len(ranked) - 2 * half} more", *["" for _ in splits])
    return table


def _share(report: SplitReport, label: str) -> str:
    count = report.labels.get(label, 0)
    return f"{count:,} ({count / report.kept:.1%})" if report.kept else "0"


def _jsonable(report: SplitReport) -> dict[str, Any]:
    values = asdict(report)
    for name in ("prompt_tokens", "target_tokens"):
        values[name] = getattr(report, name)._asdict()
    return values


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f'"{name}"' for name in names[:5]) + more
