"""``pretune data distil``: the command, its messages and its exit codes."""

import json
import re

import pytest

from data.distil.conftest import folder  # noqa: F401 # the same documents
from data.distil.teachers import answer
from data.teacher.scripted import Scripted, message_of

CONFIG = """
teacher:
  endpoint:
    url: {url}
    model: scripted
    prices: {{prompt: 0.5, answer: 1.5, currency: EUR}}
budget: {{calls: {calls}}}
questions: {{fact: 1, number: 1}}
"""


@pytest.fixture
def server():
    with Scripted(lambda body, number: {"text": answer(message_of(body))}) as one:
        yield one


def config(tmp_path, server, calls=100):
    path = tmp_path / "distil.yaml"
    path.write_text(CONFIG.format(url=server.url, calls=calls))
    return path


def test_pairs_and_costs(run, folder, tmp_path, server):  # noqa: F811
    file, out = config(tmp_path, server), tmp_path / "out"
    command = ("data", "distil", folder, "--config", file, "--out", out)
    done = run(*command, "--json").json
    assert done["pairs"]["rows"]["pairs"] > 2
    assert done["spent"]["calls"] == len(server.bodies)
    assert done["spent"]["money"] > 0
    assert done["spent"]["currency"] == "EUR"
    again = run(*command, "--overwrite")
    assert re.search(rf"answers from earlier runs +│ +{len(server.bodies)} ", again.out)
    assert "kept: fact" in again.out


def test_a_spent_budget_has_a_code_of_its_own(run, folder, tmp_path, server):  # noqa: F811
    file = config(tmp_path, server, calls=2)
    done = run("data", "distil", folder, "--config", file, "--out", tmp_path / "out", "--json")
    assert done.code == 11
    assert json.loads(done.err)["kind"] == "BudgetError"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("teacher: {endpoint: {url: 'http://127.0.0.1:1/v1'}}", "model: is missing; add it"),
        ("teacher: {}", "name one teacher: endpoint or base"),
        ("teacher: {base: embedded}\nquestion: {fact: 1}", 'did you mean "questions"?'),
        ("teacher: {base: embedded}\nquestions: {facts: 1}", 'did you mean "fact"?'),
        ("teacher: {base: embedded}\nquestions: {fact: 0}", "no question is asked for"),
        ("teacher: {base: embedded}\nbudget: {money: 1}", "needs teacher.endpoint.prices"),
        ("teacher: {endpoint: {url: 'http://10.0.0.1/v1', model: m}}", "say allow_http: true"),
        ("teacher: {endpoint: {url: 'https://me:pw@x/v1', model: m}}", "must hold no password"),
        ("teacher: {endpoint: {url: 'x/v1', model: m}}", '"x/v1" is no address'),
        (
            "teacher: {endpoint: {url: 'https://x/v1', model: m}}",
            "mask it, as in mask: {key: my.key}, or say mask: false",
        ),
        ("teacher: {base: embedded}\nmask: {types: [phone]}", "mask.key: is missing; add it"),
        ("teacher: {base: embedded}\nmask: {key: k, types: [fone]}", 'did you mean "phone"?'),
        (
            "mask: false\n"
            "teacher: {endpoint: {url: 'https://x/v1', model: m, key_env: NO_SUCH_KEY_SET}}",
            'key_env names "NO_SUCH_KEY_SET", which is not set',
        ),
    ],
)
def test_a_wrong_file_is_refused_by_its_words(run, folder, tmp_path, text, said):  # noqa: F811
    path = tmp_path / "distil.yaml"
    path.write_text(text)
    done = run("data", "distil", folder, "--config", path, "--out", tmp_path / "out")
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "out").exists()
    assert "pw@x" not in done.err


def test_masking_is_said_in_the_file_and_its_key_is_told(run, folder, tmp_path, server):  # noqa: F811
    file, out = config(tmp_path, server), tmp_path / "out"
    file.write_text(file.read_text() + "mask: {key: keys/k}\n")
    (folder / "people.txt").write_text("The phone of the branch is 13800138000, say all. " * 3)
    command = ("data", "distil", folder, "--config", file, "--out", out)
    done = run(*command)
    assert done.code == 0
    assert "masked: PHONE" in done.out
    assert f'made key file "{tmp_path / "keys/k"}"' in done.err
    assert "13800138000" not in json.dumps(server.bodies) + done.out + done.err
    assert "made key file" not in run(*command, "--overwrite").err
