"""A gate as people read it in a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.api.gating import Gated
from pretune.cli.tables import COLOURS
from pretune.core.digest import SHORT
from pretune.evaluation.goals import Outcome
from pretune.gating.evidence import Evidence
from pretune.gating.report.render import load_title


def gate_text(gated: Gated, *, kept: bool) -> RenderableType:
    """The verdict, each check with its reason, then what was measured beside."""
    evidence = gated.evidence
    colour = COLOURS[Outcome(evidence.verdict)]
    lines = [Text.assemble((f"{evidence.task}: {evidence.verdict}", f"bold {colour}"))]
    lines += [
        Text.assemble((f"{one.outcome:>12}", COLOURS[one.outcome]), f"  {one.name}  ({one.reason})")
        for one in evidence.checks
    ]
    if not evidence.checks:
        lines.append(Text("nothing was promised: no goals, and no version answers yet"))
    if evidence.privacy:
        lines.append(Text(f"privacy: {evidence.privacy}"))
    return Group(*lines, _measures(evidence), Text(_home(gated, kept)))


def _measures(evidence: Evidence) -> Table:
    table = Table()
    for name in ("measured", "value, 95 % interval", "of"):
        table.add_column(name)
    found = [*evidence.metrics.items(), *evidence.slices.items()]
    if evidence.calibration:
        found.append(("calibration error", evidence.calibration.ece))
    found += [(f"lost to {one.name}", one.drop) for one in evidence.robustness if one.drop]
    found += [(f"safety: {one.kind}", one.share) for one in evidence.safety if one.share]
    if evidence.forgetting:
        found.append(("general text, perplexity over the base's", evidence.forgetting.ratio))
    for load in evidence.served:
        found += [(f"{name}, {load_title(load)}", one) for name, one in load.measures.items()]
    for name, one in found:
        table.add_row(Text(name), str(one), f"{one.n:,} {one.of}")
    for name, value in evidence.sizes.items():
        table.add_row(name, f"{value:.4g}", "")
    return table


def _home(gated: Gated, kept: bool) -> str:
    short, task = gated.evidence.digest[:SHORT], gated.evidence.task
    if gated.version is not None:
        version = gated.version[:SHORT]
        return f"evidence {short} is kept with version {version} of {task}"
    if kept:
        return (
            f"evidence {short} is not kept: the registry has no version with this adapter under "
            "this spec; add it with: pretune tasks add RUN --task TASK.yaml"
        )
    return f"evidence {short}"
