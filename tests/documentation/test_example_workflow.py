"""The example workflow for CI: its commands parse, and the gate comes last and decides."""

import pytest

from documentation.pages import ROOT
from documentation.test_pages import parse_command
from pretune.spec.yamlfile import read_mapping

WORKFLOW = ROOT / "docs" / "examples" / "gate.yml"


@pytest.fixture(scope="module")
def steps():
    (job,) = read_mapping(WORKFLOW)["jobs"].values()
    return job["steps"]


def test_its_commands_parse(steps):
    commands = [step["run"] for step in steps if step.get("run", "").startswith("pretune")]
    assert [line.split()[1] for line in commands] == ["check", "train", "tasks", "gate"]
    for line in commands:
        parse_command(line)


def test_nothing_hides_the_gates_exit_code(steps):
    (gate,) = [step for step in steps if "pretune gate" in step.get("run", "")]
    assert gate.keys() == {"run"}, "no condition and no continue-on-error"
    after = steps[steps.index(gate) + 1 :]
    assert all(step["if"] == "always()" for step in after), "a failed gate is reported too"
    assert "--junit gate/junit.xml" in gate["run"]
    assert "--registry" in gate["run"]
