"""``pretune tasks``: versions of tasks in a registry, and which of them answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.cli.output import AsJson, show

if TYPE_CHECKING:
    from pretune.registry import Registry, TaskState

app = typer.Typer(
    help="Keep versions of tasks in a registry; promote, roll back, try out.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Root = Annotated[Path, typer.Option("--registry", help="The registry's folder.")]
Why = Annotated[str, typer.Option(help="A reason, for the task's history.")]
Name = Annotated[str, typer.Argument(help="The task.")]
Beginning = Annotated[str, typer.Argument(help="A version's digest, or the beginning of it.")]
MaybeVersion = Annotated[
    str | None, typer.Argument(help="A version's digest, or the beginning of it; none: end it.")
]

HERE = Path("registry")


@app.command("add")
def add(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    registry: Root = HERE,
    task: Annotated[
        Path | None, typer.Option(help="Task file to serve it under; default: the run's own.")
    ] = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Add a run's adapter and spec as a version of its task; it answers once promoted."""
    from pretune.api.registry import register
    from pretune.core.digest import SHORT
    from pretune.registry.describe import standing
    from pretune.spec.task import load_task

    spec = None if task is None else load_task(task)
    version, state = register(run, registry, why, task=spec)
    short = version.digest[:SHORT]
    promote = f'pretune tasks promote {version.task} {short} --registry "{registry}"'
    text = f"added {short}; let it answer with: {promote}"
    if version.task_spec.goals:
        gate = f'pretune gate TASK.yaml {short} --registry "{registry}"'
        text = f"added {short}; hold it to its goals with: {gate}, then: {promote}"
    show({"version": version.digest, **standing(state)}, Text(text), as_json=as_json)


@app.command("list")
def list_(registry: Root = HERE, as_json: AsJson = False) -> None:
    """List tasks, and which version of each answers."""
    from pretune.registry.describe import summary

    opened = _open(registry)
    found = [summary(opened, name) for name in opened.names()]
    table = _table("task", "current", "previous", "canary", "shadow", "changed")
    for one in found:
        table.add_row(one["task"], *_places(one))
    show(found, table, as_json=as_json)


@app.command("show")
def show_(name: Name, registry: Root = HERE, as_json: AsJson = False) -> None:
    """Show a task's versions, where each comes from, and what happened when."""
    from pretune.registry.describe import describe

    found = describe(_open(registry), name)
    show(found, Group(_versions(found), _history(found)), as_json=as_json)


@app.command("promote")
def promote(
    name: Name,
    version: Beginning,
    registry: Root = HERE,
    why: Why = "",
    evidence: Annotated[
        Path | None,
        typer.Option(help="evidence.json that pretune gate wrote elsewhere; it is kept first."),
    ] = None,
    override: Annotated[
        str | None, typer.Option(help="Promote without a gate's pass, for this reason.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a version answer, if its gate passed; a task without goals needs no gate."""
    from pretune.gating.evidence import read_evidence
    from pretune.registry.author import Author

    author = Author.of_process(why)
    opened = _open(registry)
    if evidence is not None:
        opened.gate(name, version, read_evidence(evidence), author)
    _tell(opened.promote(name, version, author, override=override), as_json)


@app.command("rollback")
def rollback(name: Name, registry: Root = HERE, why: Why = "", as_json: AsJson = False) -> None:
    """Return to the version that answered before."""
    from pretune.registry.author import Author

    opened = _open(registry)
    _tell(opened.roll_back(name, Author.of_process(why)), as_json)


@app.command("canary")
def canary(
    name: Name,
    version: MaybeVersion = None,
    share: Annotated[float, typer.Option(help="Share of requests that it answers.")] = 0.1,
    registry: Root = HERE,
    as_json: AsJson = False,
) -> None:
    """Let a version answer a share of the requests."""
    from pretune.registry.author import Author

    opened = _open(registry)
    _tell(opened.canary(name, version, share, Author.of_process()), as_json)


@app.command("shadow")
def shadow(
    name: Name, version: MaybeVersion = None, registry: Root = HERE, as_json: AsJson = False
) -> None:
    """Ask a version whatever is asked, and count where it agrees."""
    from pretune.registry.author import Author

    opened = _open(registry)
    _tell(opened.shadow(name, version, Author.of_process()), as_json)


@app.command("remove")
def remove(name: Name, registry: Root = HERE, as_json: AsJson = False) -> None:
    """Forget a task and its history; gc then removes its versions."""
    _open(registry).remove(name)
    show({"removed": name}, Text(f'removed task "{name}"'), as_json=as_json)


@app.command("gc")
def gc(registry: Root = HERE, as_json: AsJson = False) -> None:
    """Remove versions that no task and no running server needs."""
    from pretune.registry.collect import collect

    gone = collect(_open(registry))
    text = f"removed {len(gone.versions)} versions and {len(gone.adapters)} adapters"
    show(gone._asdict(), text, as_json=as_json)


def _open(root: Path) -> "Registry":
    from pretune.registry import Registry

    return Registry(root)


def _tell(state: "TaskState", as_json: bool) -> None:
    from pretune.registry.describe import standing

    found = standing(state)
    table = _table("current", "previous", "canary", "shadow", "changed")
    table.add_row(*_places(found))
    show(found, table, as_json=as_json)


def _table(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name)
    return table


def _places(one: dict[str, Any]) -> list[RenderableType]:
    if "problem" in one:
        return [Text(one["problem"], "red")]
    canary = one["canary"]
    return [
        _short(one["current"]),
        _short(one["previous"]),
        f"{_short(canary['version'])} ({canary['share']:g})" if canary else "",
        _short(one["shadow"]),
        one["changed"] or "",
    ]


def _short(digest: str | None) -> str:
    from pretune.core.digest import SHORT

    return (digest or "")[:SHORT]


def _versions(found: dict[str, Any]) -> Table:
    from pretune.core.promise import Promise

    table = _table("version", "is", "gate", "adapter", "data", "privacy", "metrics", "run")
    canary = (found["canary"] or {}).get("version")
    roles = {"current": found["current"], "previous": found["previous"]}
    roles |= {"canary": canary, "shadow": found["shadow"]}
    for one in found["versions"]:
        role = ", ".join(role for role, digest in roles.items() if digest == one["version"])
        if "problem" in one:
            table.add_row(_short(one["version"]), role, "", Text(one["problem"], "red"))
            continue
        metrics = ", ".join(f"{key} {m['value']:.3f}" for key, m in one["metrics"].items())
        table.add_row(
            _short(one["version"]),
            role,
            one["gate"]["verdict"] if one["gate"] else "",
            _short(one["adapter"]),
            _short(one["data"]),
            str(Promise.of(one) or ""),
            metrics,
            Text(one["run"]),
        )
    return table


def _history(found: dict[str, Any]) -> Table:
    table = _table("when", "what", "version", "by", "why", "on")
    for one in found["history"]:
        share = f" ({one['share']:g})" if "share" in one else ""
        shown = _short(one.get("version")) + share or "none"
        on = f"evidence {_short(one['evidence'])}" if "evidence" in one else ""
        if "verdict" in one:
            on = f"{one['verdict']}, {on}"
        if "override" in one:
            on = f"override: {one['override']}"
        table.add_row(one["at"], one["what"], shown, Text(one["by"]), Text(one["why"]), Text(on))
    return table
