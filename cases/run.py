"""Walk a case from its goals to a promoted or a refused version, and tell what each step brought.

    python cases/run.py risk --data DATA --out runs/cases

Every step is a command of pretune, run in the case's own folder; its JSON is kept. A step that is
done is not run again, so a case that was stopped goes on.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from told import page

from pretune.core.files import write_atomic
from pretune.core.termination import sigterm_unwinds

HERE = Path(__file__).parent

VERDICTS = (0, 10, 13)
"""Exit codes of commands that ran: all well, a goal missed or a promotion refused, undecided."""


@dataclass(frozen=True)
class Done:
    """What came of a step: its command, seconds, exit code, JSON, and a paired comparison."""

    name: str
    command: str
    seconds: float
    code: int
    told: Any
    compared: Any = None


def pretune(arguments: Iterable[str], folder: Path) -> tuple[int, Any, str]:
    """Run a command with ``--json``; exit code, what it told, what it said on stderr. A refusal is
    told there, as its last line. Whatever ends the case ends the command, which may save first."""
    with subprocess.Popen(
        [sys.executable, "-m", "pretune", *arguments, "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches this process alone, which tells the command once
    ) as command:
        try:
            out, said = command.communicate()
        finally:
            command.terminate()  # nothing happens where it has ended
            command.wait()
    refused = command.returncode in VERDICTS and said.strip().split("\n")[-1]
    return command.returncode, json.loads(out.strip() or refused or "null"), said


def evaluation_of(arguments: list[str]) -> str:
    """Folder of the evaluation that a ``train`` or ``eval`` writes."""
    out = arguments[arguments.index("--out") + 1]
    return f"{out}/evaluation/test" if arguments[0] == "train" else out


def ran(arguments: list[str], folder: Path) -> tuple[int, Any]:
    """Exit code and what was told; a command that broke ends the case."""
    code, told, said = pretune(arguments, folder)
    if code not in VERDICTS:
        raise SystemExit(f"{shlex.join(arguments)}: exit code {code}\n{said}")
    return code, told


def take(step: Mapping[str, str], folder: Path, version: str) -> Done:
    """Run one step, and compare where it says with what."""
    arguments = shlex.split(step["run"].replace("VERSION", version))
    began = time.monotonic()
    code, told = ran(arguments, folder)
    seconds, compared = time.monotonic() - began, None
    if "against" in step:
        _, compared = ran(["compare", step["against"], evaluation_of(arguments)], folder)
    command = shlex.join(["pretune", *arguments])
    return Done(step["name"], command, round(seconds, 1), code, told, compared)


def varied(task: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A task file with some of its sections changed, key by key where both have keys; what becomes
    null is left to its default."""
    found = dict(task)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = varied(found[key], value) if both else value
    return {key: value for key, value in found.items() if value is not None}


def prepare(name: str, data: Path, folder: Path) -> None:
    """The case's files and the variants of them beside the rows that it works on; the same however
    often it is done."""
    shutil.copytree(HERE / name, folder, dirs_exist_ok=True)
    case = yaml.safe_load((folder / "case.yaml").read_text("utf-8"))
    for variant, changes in case.get("variants", {}).items():
        task = yaml.safe_load((folder / f"{changes.pop('of')}.yaml").read_text("utf-8"))
        text = yaml.safe_dump(varied(task, changes), sort_keys=False, allow_unicode=True)
        write_atomic(folder / f"{variant}.yaml", text)
    rows = [sys.executable, str(HERE / "rows.py"), name, str(data), str(folder / "rows")]
    subprocess.run(rows, check=True)


def walk(name: str, data: Path, folder: Path) -> list[Done]:
    """All steps of a case; each one's result is kept as it ends."""
    case = yaml.safe_load((HERE / name / "case.yaml").read_text("utf-8"))
    if not (folder / "steps").exists():
        prepare(name, data, folder)
    taken, version = [], ""
    for number, step in enumerate(case["steps"], 1):
        kept = folder / "steps" / f"{number:02}.json"
        if kept.exists():
            done = Done(**json.loads(kept.read_text("utf-8")))
        else:
            print(f"{number}/{len(case['steps'])} {step['name']}", file=sys.stderr, flush=True)
            done = take(step, folder, version)
            write_atomic(kept, json.dumps(asdict(done), ensure_ascii=False, indent=1) + "\n")
        taken.append(done)
        if isinstance(done.told, dict):
            version = done.told.get("version") or version
    (folder / "case.md").write_text(page(case["title"], taken, folder), "utf-8")
    return taken


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=["risk", "routing"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/cases"))
    args = parser.parse_args()
    for name in args.cases:
        folder = (args.out / name).resolve()
        with sigterm_unwinds():
            walk(name, args.data.resolve(), folder)
        print((folder / "case.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
