"""``pretune gate``: may this adapter answer? Evidence, a verdict, an exit code for CI."""

from pathlib import Path
from typing import Annotated

import typer

from pretune.cli.output import AsJson, errors, quiet_libraries, show

GATE_UNDECIDED = 13
"""Exit code where nothing fails and something could not be decided."""


def gate(
    task: Annotated[Path, typer.Argument(help="The task file.")],
    adapter: Annotated[
        str, typer.Argument(help="A run's folder, an adapter's, or a version of the registry.")
    ],
    registry: Annotated[
        Path | None,
        typer.Option(help="Compare with the version that answers there; keep the evidence there."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evidence.json, card.md and gate.html.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="File for JUnit's XML.")] = None,
    margin: Annotated[
        float,
        typer.Option(help="Loss against that version to be ruled out.", min=0.001, max=0.5),
    ] = 0.05,
    load_seconds: Annotated[float, typer.Option(help="Most seconds of each load.", min=1)] = 60.0,
    why: Annotated[str, typer.Option(help="A reason, for the task's history.")] = "",
    as_json: AsJson = False,
) -> None:
    """Hold an adapter to its task's goals and to the version that answers today.

    Measures quality, slices, calibration, robustness, safety probes, general text and, where goals
    speak of it, latency, memory and cost of the served task. Exit code 0: pass; 10: fail; 13:
    undecided.
    """
    from pretune.api.gating import Gated, GateOptions
    from pretune.api.gating import gate as gate_adapter
    from pretune.cli.commands.evaluate import GOAL_MISSED
    from pretune.cli.gate_text import gate_text
    from pretune.gating.evidence import Verdict
    from pretune.spec.task import load_task

    spec = load_task(task)
    quiet_libraries()
    options = GateOptions(registry, margin, load_seconds, why)

    def keep(found: Gated) -> None:
        if out is not None:
            found.save(out)
        if junit is not None:
            found.save_junit(junit)

    with errors.status(f"{spec.name}: starting") as status:
        found = gate_adapter(
            spec,
            adapter,
            options,
            tell=lambda part: status.update(f"{spec.name}: {part}"),
            keep=keep,
        )
    evidence = found.evidence
    result = {
        "digest": evidence.digest,
        "version": found.version,
        **evidence.model_dump(mode="json"),
    }
    show(result, gate_text(found, kept=registry is not None), as_json=as_json)
    codes = {Verdict.PASS: 0, Verdict.FAIL: GOAL_MISSED, Verdict.UNDECIDED: GATE_UNDECIDED}
    if code := codes[evidence.verdict]:
        raise typer.Exit(code)
