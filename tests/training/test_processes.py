"""Two processes of one training: they learn what one learns, and one of them writes."""

import json
import os
import subprocess
import sys

import pytest

from pretune.adapters.files import load_adapter
from pretune.data.dataset import read_examples
from pretune.data.softlabels import SoftHeader, SoftKind, SoftRow
from pretune.data.template import Template
from pretune.spec.task import load_task

TASK = """\
name: way
data: {train: rows.jsonl, validation_share: 0.3}
template: {user: "{text}", target: "{label}"}
labels: [up, down]
method: {name: lora, rank: 2}
train: {max_steps: 3, batch_size: 8, evaluation_rows: 4}
"""


@pytest.fixture(params=["sft", "distil"])
def task(tmp_path, request):
    rows = [{"text": f"{way} {n}", "label": way} for way in ("up", "down") for n in range(12)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "task.yaml").write_text(TASK, encoding="utf-8")
    if request.param == "distil":
        soften(tmp_path / "task.yaml")
    return tmp_path / "task.yaml"


def soften(path):
    """Soft labels that follow from the rows, and a task that learns them."""
    task = load_task(path)
    header = SoftHeader(SoftKind.LABELS, "by hand", labels=("down", "up"))
    lines = [header.line()]
    for row, (_, _, example) in enumerate(read_examples(task, Template(task))):
        lines.append(SoftRow(example.row_id, example.content, ((-0.1 * row, -1.0),)).line())
    soft = "".join(json.dumps(line) + "\n" for line in lines)
    (path.parent / "soft.jsonl").write_text(soft, encoding="utf-8")
    path.write_text(TASK + "teacher: {soft: soft.jsonl}\n", encoding="utf-8")


def train(task, out, *launcher):
    command = [sys.executable, *launcher, "-m", "pretune", "train", str(task), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    done = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_processes_learn_what_one_learns(task, tmp_path):
    alone = train(task, tmp_path / "alone")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    both = train(task, tmp_path / "both", *launcher)
    assert both["steps"] == alone["steps"] == 3
    lines = (tmp_path / "both/log.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line)["step"] for line in lines if '"train.step"' in line]
    assert steps == [1, 2, 3], "each step is told once"
    weights = [
        load_adapter(tmp_path / name / one["adapter"]).weights
        for name, one in (("alone", alone), ("both", both))
    ]
    assert weights[0].keys() == weights[1].keys()
    # By norms: where a gradient is nearly zero Adam takes a whole step, in a direction of rounding.
    for name, value in weights[0].items():
        assert (weights[1][name] - value).norm() <= 1e-4 * value.norm(), name
