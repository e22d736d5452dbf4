"""``pretune bench``: what serving many tasks costs on this machine, against base and peers."""

import json
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pretune.cli.output import AsJson, errors, quiet_libraries, show

if TYPE_CHECKING:
    from pretune.bench.run import Results

_COLOURS = {"pass": "green", "fail": "red", "not measured": "yellow", "": ""}


class PeersOption(StrEnum):
    """Which other engines to measure beside pretune."""

    ALL = "all"
    PEFT = "peft"
    TRANSFORMERS = "transformers"
    VLLM = "vllm"
    NONE = "none"

    @property
    def left_out(self) -> frozenset[str]:
        """Measures that do not run."""
        peers = {option.value for option in PeersOption if option.name not in ("ALL", "NONE")}
        return frozenset() if self is PeersOption.ALL else frozenset(peers - {self.value})


class DeviceOption(StrEnum):
    """Where to measure."""

    CPU = "cpu"
    CUDA = "cuda"


def bench(
    quick: Annotated[
        bool, typer.Option("--quick", help="A small base and few tokens: about two minutes.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A figure or a measure to run alone; can be given again."),
    ] = None,
    peers: Annotated[PeersOption, typer.Option(help="Other engines to measure.")] = PeersOption.ALL,
    vllm_python: Annotated[
        Path | None,
        typer.Option(help="The interpreter of an environment with vLLM, which is a peer."),
    ] = None,
    device: Annotated[
        DeviceOption, typer.Option(help="Where to measure; vLLM is a peer on the CPU alone.")
    ] = DeviceOption.CPU,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="How often each side runs; default: 3, quick: 2.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results and their page.")] = Path(
        "runs/bench"
    ),
    as_json: AsJson = False,
) -> None:
    """Measure decode, prefill and serving of many tasks: ratios within one run, medians."""
    from pretune.bench.measures import measures
    from pretune.bench.page import render, render_plot
    from pretune.bench.run import chosen, run
    from pretune.bench.work import FULL, QUICK
    from pretune.cli.progress import Stages
    from pretune.core.files import write_atomic

    _found(device)
    quiet_libraries()
    work = QUICK if quick else FULL
    work = replace(work, repeats=repeats or work.repeats)
    known = measures(vllm_python)
    selected = {
        name: measure
        for name, measure in chosen(known, only or ()).items()
        if name not in peers.left_out
    }

    def keep(results: "Results") -> None:
        write_atomic(out / "bench.json", json.dumps(results.record(), indent=1) + "\n")
        write_atomic(out / "bench.html", render(results))
        if picture := render_plot(results.figures):
            write_atomic(out / "throughput.svg", picture)

    with Stages({name: measure.seconds for name, measure in selected.items()}) as stages:
        results = run(work, selected, stages.done, device, keep)
    show(results.record(), _shown(results), as_json=as_json)
    errors.print(f'page: "{out / "bench.html"}"', soft_wrap=True)


def _found(device: DeviceOption) -> None:
    import torch

    from pretune.core.errors import SpecError

    if device is DeviceOption.CUDA and not torch.cuda.is_available():
        raise SpecError(
            f'device "{device}" is not there: PyTorch {torch.__version__} sees none; measure on cpu'
        )


def _shown(results: "Results") -> RenderableType:
    """Every figure with its spread, its target and whether that is met; then the machine."""
    from pretune.bench.page import figure_row

    table = Table(title=f"Work: {results.work.name}", title_justify="left")
    for name in ("figure", "value", "spread", "target", "", "from"):
        right = name in ("value", "spread", "target")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "from")
    for row in map(figure_row, results.figures):
        *cells, verdict, note = row
        table.add_row(*cells, Text(verdict, _COLOURS[verdict]), Text(note))
    machine = results.machine
    accelerator = f"{machine['accelerator']}; " if machine["device"] != "cpu" else ""
    lines = [
        f"{accelerator}{machine['processor']}, {machine['cores']} cores, "
        f"{machine['threads']} threads",
        f"torch {machine['torch']}; {results.seconds:.0f} s in all",
    ]
    if results.work.name == "quick":
        lines.append("a small base and few tokens: ratios of real work need a run without --quick")
    return Group(table, *map(Text, lines))
