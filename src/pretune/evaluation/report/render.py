"""From a report to text: Jinja templates beside this file, always escaped in HTML. The style of all
pages is in ``core/templates``."""

from typing import Any

from pretune.core.errors import DataError
from pretune.evaluation.goals import Outcome
from pretune.evaluation.report.pages import environment
from pretune.evaluation.report.plots import forest, heat_map, loss_plot
from pretune.evaluation.report.records import Report
from pretune.evaluation.tables import top_confusions

MOST_LABELS = 12
"""Labels in a table; of more, the weakest are shown."""


def render_html(report: Report, *, with_samples: bool = False) -> str:
    """One HTML page: styles and plots inside, no script, no reference to any other file.

    ``with_samples`` shows the report's samples, which hold text of the user's data.

    Raises:
        DataError: a report without runs, or a run without metrics.
    """
    return _render("page.html.jinja", report, with_samples, escape=True)


def render_markdown(report: Report, *, with_samples: bool = False) -> str:
    """The report as Markdown: the same tables, without plots.

    Raises:
        DataError: a report without runs, or a run without metrics.
    """
    return _render("report.md.jinja", report, with_samples, escape=False)


def _render(template: str, report: Report, with_samples: bool, *, escape: bool) -> str:
    if not report.runs:
        raise DataError("the report has no runs; evaluate at least one")
    for run in report.runs:
        if not run.metrics:
            raise DataError(
                f'run "{run.run}" of task "{run.task}" has no metrics; evaluate it first'
            )
    values = {"report": report, "with_samples": with_samples, **_derived(report)}
    pages = environment("pretune.evaluation.report", escape=escape)
    return pages.get_template(template).render(values)


def _derived(report: Report) -> dict[str, Any]:
    colours = {name: index for index, name in enumerate(report.run_names)}
    checks = [check for task in report.tasks for check in report.goals.get(task, ())]
    return {
        "colours": colours,
        "passed": sum(check.outcome is Outcome.PASS for check in checks),
        "checked": len(checks),
        "metrics": {
            task: tuple(dict.fromkeys(name for run in report.of_task(task) for name in run.metrics))
            for task in report.tasks
        },
        "forests": {
            task: forest(
                report.of_task(task),
                report.of_task(task)[0].main_metric,
                colours,
                report.goals.get(task, ()),
            )
            for task in report.tasks
        },
        "losses": {task: loss_plot(report.of_task(task), colours) for task in report.tasks},
        "heat_map": heat_map,
        "top_confusions": top_confusions,
        "most_labels": MOST_LABELS,
        "largest_adapter": max((run.adapter_bytes or 0 for run in report.runs), default=0),
    }
