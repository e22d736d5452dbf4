"""Tables that several commands print."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.data.teacher.bill import Bill
from pretune.data.workshop.step import Written
from pretune.evaluation.compare import Difference, Verdict
from pretune.evaluation.evaluate import Evaluation
from pretune.evaluation.goals import GoalCheck, Outcome

COLOURS = {
    Outcome.PASS: "green",
    Outcome.FAIL: "red",
    Outcome.UNDECIDED: "yellow",
    Outcome.NOT_MEASURED: "yellow",
    Verdict.BETTER: "green",
    Verdict.WORSE: "red",
    Verdict.UNDECIDED: "yellow",
}
"""Of outcomes and verdicts."""


def evaluation_table(evaluation: Evaluation, goals: Sequence[GoalCheck]) -> RenderableType:
    """Metrics with intervals, then goals with their outcome."""
    who = evaluation.adapter[:12] if evaluation.adapter else "the bare base"
    table = Table(title=f"{evaluation.task}: {who}, {evaluation.rows} rows", title_justify="left")
    for name, side in (("metric", "left"), ("value", "right"), ("95 % interval", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for name, found in evaluation.metrics.items():
        table.add_row(name, f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}")
    lines = [
        Text.assemble((f"{one.outcome:>12}", COLOURS[one.outcome]), f"  {one.goal}  ({one.reason})")
        for one in goals
    ]
    return Group(table, *lines)


def comparison_table(differences: Sequence[Difference]) -> RenderableType:
    """Each metric of two runs, their difference and what it means."""
    table = Table()
    for name in ("metric", "first", "second", "difference", "95 % interval", "p"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    table.add_column("second is")
    for one in differences:
        table.add_row(
            one.metric,
            f"{one.first:.3f}",
            f"{one.second:.3f}",
            f"{one.delta.value:+.3f}",
            f"{one.delta.low:+.3f} to {one.delta.high:+.3f}",
            f"{one.p:.3f}",
            Text(one.verdict, COLOURS[one.verdict]),
        )
    return table


def bill_lines(bill: Bill) -> list[tuple[str, str]]:
    """What asking has cost, each line what and how much."""
    calls = [(f"calls: {outcome}", f"{n:,}") for outcome, n in sorted(bill.calls.items())]
    return [
        *calls,
        ("answers from earlier runs", f"{bill.from_cache:,}"),
        ("tokens paid, all runs", f"{bill.spent.tokens:,}"),
        ("money, all runs", f"{bill.spent.money:,.4f} {bill.currency}".rstrip()),
    ]


def written_text(written: Written) -> RenderableType:
    """What a step of the workshop wrote and counted."""
    rows = (f"{path}: {written.rows[name]:,} rows" for name, path in written.files.items())
    counts = (f"  {what}: {count:,}" for what, count in written.counts.items())
    resumed = f"went on after {written.resumed_at:,} units" if written.resumed_at else ""
    return Text("\n".join(line for line in (*rows, *counts, resumed) if line))
