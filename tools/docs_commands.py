"""docs/commands.md: every command's own help, and the exit codes, read from the program."""

from collections.abc import Iterator
from pathlib import Path

import typer
from click.testing import CliRunner

from pretune.cli.app import INTERRUPTED, app
from pretune.cli.commands.evaluate import GOAL_MISSED
from pretune.cli.commands.gate import GATE_UNDECIDED
from pretune.core.errors import PretuneError

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"

WIDTH = 96

HEAD = """\
# Commands

<!-- Written by tools/docs.py from the program's own help; change it there. -->

Results go to standard output, errors and progress to standard error. With `--json` the result, or
the error, is JSON. Commands reach the network only where a task file says `allow_download: true`,
or a distil or rewriting file names an endpoint.
"""


def page() -> str:
    """The whole page as Markdown."""
    program = typer.main.get_command(app)
    return "\n".join([HEAD, *_help([], program), *_commands([], program, program), *_exit_codes()])


def _commands(above: list[str], group: object, program: object) -> Iterator[str]:
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        arguments = [*above, name]
        yield f"{'#' * (1 + len(arguments))} `{' '.join(['pretune', *arguments])}`\n"
        yield from _help(arguments, program)
        if hasattr(command, "commands"):
            yield from _commands(arguments, command, program)


def _help(arguments: list[str], program: object) -> Iterator[str]:
    result = CliRunner().invoke(
        program,  # type: ignore[arg-type]
        [*arguments, "--help"],
        prog_name="pretune",
        env={"COLUMNS": str(WIDTH)},
        terminal_width=WIDTH,
    )
    lines = [line.rstrip() for line in result.output.strip().splitlines()]
    yield "\n".join(["```text", *lines, "```", ""])


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "A known error ends with its message alone, and with the code of its kind.\n"
    known = {
        0: "Done.",
        1: "A defect of pretune, with its trace; please report it.",
        **{kind.exit_code: _sentence(kind) for kind in PretuneError.__subclasses__()},
        GOAL_MISSED: "A goal fails by what was measured (`eval`, `gate`), cannot be met (`plan`), "
        "or is not shown to be kept (`tasks promote`).",
        GATE_UNDECIDED: "Nothing fails, and something could not be decided (`gate`).",
        INTERRUPTED: "Stopped by Ctrl-C.",
    }
    known[2] += " Also an unknown command or option."
    lines = [f"| {code} | {meaning} |" for code, meaning in sorted(known.items())]
    yield "\n".join(["| code | meaning |", "| --- | --- |", *lines, ""])


def _sentence(kind: type[PretuneError]) -> str:
    text = (kind.__doc__ or "").partition("\n\n")[0]
    return " ".join(text.split())
