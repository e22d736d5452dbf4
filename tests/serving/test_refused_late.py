"""What turns out impossible after a request was taken is its client's to mend: 4xx, not 500."""

import asyncio
import json

import pytest

from pretune.bases.fakes import tiny_base
from pretune.core.errors import SpecError
from pretune.serving import grammars, trial
from pretune.serving.bodies import Wanted
from serving.conftest import inside_of
from serving.test_server import QUESTION, events
from serving.test_versions import eventually

TIGHT = trial.LLParserLimits(
    max_lexer_states=40, initial_lexer_fuel=500_000, step_lexer_fuel=20_000
)
CHAT = "/v1/chat/completions"
GROWING = {"structured_outputs": {"regex": "[ab]*a[ab]{12}c"}}
"""Its states double with each letter: it begins well, and goes beyond any limit."""


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server whose grammars may have few states, so that it takes a moment to go beyond them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "LIMITS", TIGHT)
        with inside_of(tmp_path_factory.mktemp("tasks")) as inside:
            yield inside


def asked(model="free", **body):
    return ("POST", CHAT, {"json": {"model": model, "messages": [QUESTION], **body}})


HOT = {"temperature": 2.0, "seed": 1, "max_tokens": 100}


def check(error) -> None:
    assert (error["code"], error["type"]) == (400, "invalid_request_error")
    assert error["param"] == "structured_outputs"
    assert error["message"] == (
        "structured_outputs cannot be followed: what the answer may go on with became too complex "
        "to work out; simplify it"
    )


def test_a_grammar_too_complex_on_the_way_is_the_clients_and_disturbs_nobody(strict):
    plain = asked(max_tokens=40)
    (alone,) = strict.send(plain)
    found = strict.send(plain, asked(**HOT, **GROWING), plain, asked(**HOT, **GROWING, n=2), plain)
    for bad in (found[1], found[3]):
        assert bad.status_code == 400, bad.text
        check(bad.json()["error"])
    for good in found[::2]:
        assert good.json()["choices"] == alone.json()["choices"]
    worker = strict.service.worker
    eventually(lambda: not (worker.load or worker.stats().running or worker.stats().blocks_held))
    metrics = strict.get("/metrics").text
    assert 'pretune_requests_total{outcome="400",task="free"' in metrics
    assert 'outcome="500"' not in metrics


def test_a_stream_that_has_begun_ends_with_an_error_that_names_the_schema(strict):
    (streamed,) = strict.send(asked(**HOT, **GROWING, stream=True))
    assert streamed.status_code == 200, "it began"
    *pieces, told, last = events(streamed.text)
    assert last == "[DONE]"
    said = "".join(json.loads(one)["choices"][0]["delta"]["content"] for one in pieces)
    assert said
    assert set(said) <= set("ab")
    check(json.loads(told)["error"])


def test_what_one_answer_used_up_is_there_for_the_others(strict):
    """Those of the same key and expression, under way and to come: each is what it is alone."""
    fine = asked(max_tokens=3, **GROWING)
    bad = [asked(**HOT | {"seed": seed}, **GROWING) for seed in range(8)]
    (alone,) = strict.send(fine)
    assert alone.status_code == 200, alone.text
    for found in strict.send(*bad, fine), strict.send(fine, *bad):
        assert {one.status_code for one in found} == {200, 400}
    (after,) = strict.send(fine)
    assert after.json()["choices"] == alone.json()["choices"]


BASE = tiny_base()
TOKENS = {BASE.renderer.decode([token]): token for token in range(256)}


def walk(answer, letters: str) -> int:
    """How far it goes, choosing what ``letters`` say."""
    for place, letter in enumerate(letters):
        try:
            assert answer.allowed()[TOKENS[letter]]
        except SpecError:
            return place
        answer.accept(TOKENS[letter])
    return len(letters)


@pytest.mark.parametrize(("quick", "reached"), [(10.0, 12), (0.0, 6)])
def test_an_answer_under_way_goes_on_where_another_reached_the_limit(monkeypatch, quick, reached):
    monkeypatch.setattr(trial, "LIMITS", TIGHT)
    monkeypatch.setattr(grammars, "_QUICK", quick)
    one = grammars.Grammars(
        BASE.renderer.tokenizer_json, BASE.renderer.end_ids, BASE.anatomy.vocabulary
    )
    wanted = Wanted("structured_outputs", regex=GROWING["structured_outputs"]["regex"])
    first = asyncio.run(one.constraint(wanted, ""))
    slow, greedy = first.begin(), first.begin()
    assert walk(slow, "bbbbba") == 6
    far = walk(greedy, "abbababbbaabaabbababbaab" * 4)
    assert 6 < far < 96
    assert walk(slow, "bababa") + 6 == reached
    second = asyncio.run(one.constraint(wanted, ""))
    assert second is not first
    assert walk(second.begin(), "bbbbba") == 6
    assert asyncio.run(one.constraint(wanted, "")) is second


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("labels", {"text": "x" * 800}),
        ("document", {"text": "x" * 800, "question": "Which?"}),
    ],
)
def test_a_prompt_that_no_cache_holds_is_the_clients(strict, model, words):
    """Scored options and virtual tokens take room as well."""
    found = []
    for cut in (*range(0, 100, 5), 400):
        fields = words | {"text": words["text"][cut:]}
        found.append(strict.post(CHAT, json={"model": model, "fields": fields}))
    assert {one.status_code for one in found} == {200, 400}
    for one in found:
        assert one.status_code == 200 or "room for" in one.json()["error"]["message"]
