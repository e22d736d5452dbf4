"""A plan for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.planning.plan import Fit, Plan, Prospect, Resources
from pretune.training.estimate.calibrate import Range

_COLOURS = {
    Prospect.DECIDABLE: "green",
    Prospect.EXPECTED: "green",
    Prospect.TOO_FEW_ROWS: "yellow",
    Prospect.LATER: "yellow",
    Prospect.IMPOSSIBLE: "red",
    Fit.FITS: "green",
    Fit.TIGHT: "yellow",
    Fit.TOO_LARGE: "red",
}


def plan_text(plan: Plan, *, why: bool) -> RenderableType:
    """Goals, memory and time, knobs where it does not fit, advice; with ``why`` its evidence."""
    parts = [*_goals(plan), *_resources(plan.resources), *_advice(plan, why=why)]
    return Group(*parts)


def _goals(plan: Plan) -> list[RenderableType]:
    if not plan.goals:
        return [Text('no goals: add some to the task file, such as "macro_f1 >= 0.85"')]
    lines: list[RenderableType] = [Text(f"{plan.task}: goals, on {plan.split} rows", "bold")]
    for one in plan.goals:
        colour = _COLOURS[one.prospect]
        need = f"{one.goal.need}: " if one.goal.need else ""
        lines.append(Text.assemble((f"  {one.prospect}", colour), f"  {need}{one.goal}"))
        base = f"the base reaches {one.base}; " if one.base else ""
        lines.append(Text(f"      {base}{one.reason}"))
    return lines


def _resources(found: Resources) -> list[RenderableType]:
    estimate = found.estimate
    title = Text.assemble(
        ("\ntraining on ", "bold"), (f"{found.device}: ", "bold"), (found.fit, _COLOURS[found.fit])
    )
    room = f"{found.room / 1e9:.2f} GB" if found.room != float("inf") else "not known"
    rows = [
        title,
        Text(f"  memory {estimate.memory.gb}, {estimate.source}; room for it: {room}"),
        Text(f"  a step {_time(estimate.step)}, all of it {_time(estimate.whole)}"),
        Text(f"  reckoned {found.reckoned.memory.gb} ({found.reckoned.phase}):"),
        _parts(found),
    ]
    if found.surprise:
        rows.append(Text(f"  {found.surprise}", "yellow"))
    if found.way_out is None:
        return rows
    table = Table()
    table.add_column("change", no_wrap=True)  # to be copied
    for name in ("saves", "memory then", "all of it takes", "price"):
        table.add_column(name)
    for one in found.way_out.knobs:
        after = one.estimate
        table.add_row(
            one.change,
            f"{one.saved / 1e9:.2f} GB",
            after.memory.gb,
            _time(after.whole),
            one.price,
        )
    together = found.way_out.together
    if together is None:
        says = "even all of them together do not fit: a smaller base, or a larger machine"
    else:
        says = f"fits with: {'; '.join(together)}" if together else "no change is needed"
    return [*rows, table, Text(f"  {says}")]


def _parts(found: Resources) -> RenderableType:
    parts = sorted(found.reckoned.parts.items(), key=lambda item: -item[1])
    said = ", ".join(f"{name} {size / 1e6:,.0f}" for name, size in parts if size >= 5e5)
    return Text(f"    in MB before correction: {said}")


def _advice(plan: Plan, *, why: bool) -> list[RenderableType]:
    lines: list[RenderableType] = [Text("\nadvice", "bold")]
    for one in plan.advice:
        lines.append(Text.assemble((f"  {one.about}: {one.value}", "bold"), f"  {one.reason}"))
        if why:
            lines += [Text(f"      {figure}  [{figure.source}]") for figure in one.evidence]
    if not why:
        lines.append(Text('  the evidence behind it: "--why"'))
    return lines


def _time(seconds: Range) -> str:
    unit, factor = ("h", 3600.0) if seconds.expected > 7200 else ("s", 1.0)
    if unit == "s" and seconds.expected > 300:
        unit, factor = "min", 60.0
    low, expected, high = (value / factor for value in seconds)
    return f"{expected:.3g} {unit} ({low:.3g} to {high:.3g})"
