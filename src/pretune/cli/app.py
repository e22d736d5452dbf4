"""The ``pretune`` program: its commands, and how errors become messages and exit codes."""

import sys

import typer

from pretune.cli.commands import (
    adapters,
    bench,
    check,
    compare,
    data,
    demo,
    evaluate,
    export,
    gate,
    generate,
    import_,
    init,
    merge,
    plan,
    serve,
    tasks,
    train,
    tune,
)
from pretune.cli.output import INTERRUPTED, report_error
from pretune.core.errors import PretuneError

app = typer.Typer(
    name="pretune",
    help="Tune the prefill. Serve every task at base-model speed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.command("init")(init.init)
app.command("check")(check.check)
app.add_typer(data.data, name="data")
app.command("plan")(plan.plan)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("eval")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("gate")(gate.gate)
app.command("generate")(generate.generate)
app.command("serve")(serve.serve)
app.add_typer(tasks.app, name="tasks")
app.command("adapters")(adapters.adapters)
app.command("merge")(merge.merge)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)


def main() -> None:
    """Run the command line; known errors end with their message and exit code."""
    try:
        app()
    except PretuneError as error:
        report_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
