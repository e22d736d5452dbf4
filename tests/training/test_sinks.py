"""The sinks, each fed a training's events by hand."""

import io
import json

import pytest
from rich.console import Console

from pretune.core.events import Event
from pretune.training.sinks.jsonl import JsonLines
from pretune.training.sinks.progress import ProgressBar
from pretune.training.sinks.tensorboard import TensorBoard

START = {"steps": 4, "watch": "f1"}
STEP = {"loss": 1.25, "lr": 0.1, "grad_norm": 2.0, "tokens_per_second": 9.0, "eta_s": 3700.0}
DONE = {"reason": "finished", "seconds": 12.3, "metrics": {}}


def test_json_lines_forget_what_will_be_written_again(tmp_path):
    path = tmp_path / "log.jsonl"
    sink = JsonLines(path)
    sink.emit(Event("train.start", 0, START))
    for step in (1, 2, 3):
        sink.emit(Event("train.step", step, STEP))
    with path.open("a") as file:
        file.write('{"kind": "train.st')  # a kill in the middle of a line
    JsonLines(path).emit(Event("train.start", 2, START))
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["kind"], line["step"]) for line in found] == [
        ("train.start", 0),
        ("train.step", 1),
        ("train.step", 2),
        ("train.start", 2),
    ]
    assert found[1]["loss"] == 1.25
    JsonLines(path).emit(Event("train.start", 0, START))
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of protobuf and numpy in TensorBoard
def test_tensorboard(tmp_path):
    sink = TensorBoard(tmp_path)
    sink.emit(Event("train.start", 0, START))
    sink.emit(Event("train.step", 1, STEP))
    sink.emit(Event("train.validation", 1, {"f1": 0.5}))
    sink.emit(Event("train.checkpoint", 1))
    sink.emit(Event("train.done", 1, DONE))
    sink.emit(Event("train.failed", 1, {"error": "x"}))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(tmp_path)).Reload()
    assert read.Scalars("step/loss")[0].value == 1.25
    assert read.Scalars("validation/f1")[0].step == 1


def test_progress_without_a_terminal_is_a_line_now_and_then():
    now = [0.0]
    out = io.StringIO()
    sink = ProgressBar(Console(file=out, width=100), "fees", clock=lambda: now[0])
    sink.emit(Event("train.start", 0, START))
    sink.emit(Event("train.step", 1, STEP))
    now[0] = 10.0
    sink.emit(Event("train.step", 2, STEP))
    sink.emit(Event("train.validation", 2, {"f1": 0.5}))
    now[0] = 25.0
    sink.emit(Event("train.step", 3, STEP))
    sink.emit(Event("train.done", 3, DONE))
    assert out.getvalue().splitlines() == [
        "fees  step 2/4  eta 1:01:40  loss 1.2500",
        "fees  step 2/4  f1 0.5000",
        "fees  step 3/4  eta 1:01:40  loss 1.2500  f1 0.5000",
        "fees  step 3/4  finished after 12 s",
    ]


@pytest.mark.parametrize("end", ["train.done", "train.failed"])
def test_progress_on_a_terminal_gives_it_back(end):
    out = io.StringIO()
    sink = ProgressBar(Console(file=out, width=100, force_terminal=True), "fees")
    sink.emit(Event("train.start", 0, START))
    sink.emit(Event("train.validation", 1, {"f1": 0.5}))
    sink.emit(Event("train.step", 2, STEP))
    sink.emit(Event(end, 2, DONE))
    assert "loss 1.2500  f1 0.5000" in out.getvalue()
    assert "2/4" in out.getvalue()
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1  # cursor
