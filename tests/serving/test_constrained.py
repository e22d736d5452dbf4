"""Answers that must look like something do, at any temperature; and hostile schemas cost little."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import openai
import pytest

from laws.cases import CONFIGS, TURNS, make_adapter, request_of
from laws.probe import SMALL, Probe
from pretune.bases.fakes import tiny_base
from pretune.bases.load import load_base
from pretune.core.records import Completion, FinishReason
from pretune.core.sampling import Sampling
from pretune.core.scope import Scope
from pretune.engine.engine import Size
from pretune.serving.bodies import ChatBody, Wanted, read
from pretune.serving.grammars import MOST_WAITING, Grammars
from pretune.serving.refusal import Refused
from pretune.serving.trial import Tried
from serving.test_server import QUESTION, chat, events


def grammars(base) -> Grammars:
    return Grammars(base.renderer.tokenizer_json, base.renderer.end_ids, base.anatomy.vocabulary)


def schema(value: Any) -> Wanted:
    return Wanted("response_format", schema=json.dumps(value))


def compiled(one: Grammars, wanted: Wanted):
    return asyncio.run(one.constraint(wanted, ""))


def refused(wanted: Wanted, base=None) -> str:
    with pytest.raises(Refused) as caught:
        compiled(grammars(base or tiny_base()), wanted)
    assert caught.value.status == 400
    assert caught.value.param == wanted.param
    return str(caught.value)


def _payment(value: Any) -> bool:
    return (
        list(value) == ["currency", "amount"]
        and value["currency"] in ("EUR", "CHF")
        and type(value["amount"]) is int
        and 0 <= value["amount"] <= 9999
    )


def _tags(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 3 and all(len(one) <= 6 for one in value)


def _tree(value: Any) -> bool:
    return set(value) <= {"v", "next"} and ("next" not in value or _tree(value["next"]))


SCHEMAS: dict[str, tuple[Any, Callable[[Any], bool]]] = {
    "object": (
        {
            "type": "object",
            "properties": {
                "currency": {"enum": ["EUR", "CHF"]},
                "amount": {"type": "integer", "minimum": 0, "maximum": 9999},
            },
            "required": ["currency", "amount"],
            "additionalProperties": False,
        },
        _payment,
    ),
    "array": ({"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 3}, _tags),
    "choice": (
        {"anyOf": [{"type": "null"}, {"const": "yes"}, {"type": "boolean"}]},
        lambda value: value in (None, "yes", True, False),
    ),
    "recursive": (
        {
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {"v": {"type": "boolean"}, "next": {"$ref": "#/$defs/node"}},
                    "additionalProperties": False,
                }
            },
            "$ref": "#/$defs/node",
        },
        _tree,
    ),
}
HEATS = [0.0, 0.7, 1.5]
MOST = 160


@cache
def embedded():
    base = load_base()
    adapters = {"lora": make_adapter(base, CONFIGS["lora"], Scope.PROMPT)}
    return base, grammars(base), Probe(base, adapters.__getitem__, Size(400, 16, 2, 512, 32))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_answer_of_the_base_and_of_a_task_follows_its_schema(name):
    base, known, probe = embedded()
    value, holds = SCHEMAS[name]
    constraint = compiled(known, schema(value))
    requests = [
        replace(
            request_of(base, adapter, *TURNS, most=MOST),
            id=f"{adapter} {heat} {seed}",
            sampling=Sampling(temperature=heat, seed=seed, constraint=constraint),
        )
        for adapter, heat, seed in itertools.product((None, "lora"), HEATS, (1, 2))
    ]
    done = probe.finish(*requests)
    ended = [one for one in done.values() if one.reason is FinishReason.END]
    assert len(ended) >= len(requests) * 3 // 4, "too few came to an end"
    for one in ended:
        assert holds(json.loads(base.renderer.decode(one.ids))), one
    for one in set(done.values()) - set(ended):
        assert (one.reason, len(one.ids)) == (FinishReason.LENGTH, MOST)
    assert len({one.ids for one in done.values()}) > 1 or name == "choice"


def test_a_regular_expression_is_the_whole_answer():
    base, known, probe = embedded()
    pattern = r"(?:[A-Z]{2}\d{2}|none): [a-z]{1,8}\."
    constraint = compiled(known, Wanted("structured_outputs", regex=pattern))
    requests = [
        replace(
            request_of(base, None, *TURNS, most=60),
            id=str(seed),
            sampling=Sampling(temperature=1.0, seed=seed, constraint=constraint),
        )
        for seed in range(6)
    ]
    for one in probe.finish(*requests).values():
        assert one.reason is FinishReason.END
        assert re.fullmatch(pattern, base.renderer.decode(one.ids))


def constrained(base, name: str, constraint, **sampling) -> Any:
    how = Sampling(temperature=1.0, seed=3, constraint=constraint, **sampling)
    return replace(request_of(base, None, *TURNS, most=40), id=name, sampling=how)


@pytest.mark.parametrize("generated", [0, 1, 7])
def test_interrupted_is_uninterrupted(generated):
    base = tiny_base()
    constraint = compiled(grammars(base), schema(SCHEMAS["object"][0]))
    expected = Probe(base).finish(constrained(base, "x", constraint))["x"]
    assert len(expected.ids) > 7
    probe, done = Probe(base, size=SMALL._replace(tokens=8)), {}
    probe.submit(constrained(base, "x", constraint))
    while probe.busy:
        sequence = probe._requests["x"]
        due = sequence.written and len(sequence.generated) == generated
        if due and not probe.stats().preemptions:
            probe.preempt()
            probe._pool.forget()
        done |= {o.request_id: o.done for o in probe.step() if o.done}
    assert probe.stats().preemptions == 1
    assert done["x"] == expected


def test_choices_of_one_constraint_have_each_their_own_state():
    base = tiny_base()
    constraint = compiled(grammars(base), schema(SCHEMAS["object"][0]))
    alone = Probe(base).finish(constrained(base, "x", constraint))["x"]
    probe = Probe(base)
    probe.submit(constrained(base, "x", constraint))
    for _ in range(3):
        probe.step()  # the others come when the first is under way
    together = probe.finish(*(constrained(base, name, constraint) for name in "abc"))
    assert {one.ids for one in together.values()} == {alone.ids}


def test_log_probabilities_are_those_before_the_constraint():
    base = tiny_base()
    constraint = compiled(grammars(base), Wanted("structured_outputs", regex="[xy]z"))
    done = Probe(base).finish(constrained(base, "x", constraint, logprobs=1))["x"]
    assert base.renderer.decode(done.ids) in ("xz", "yz")
    assert all(one.log_prob < one.top[0][1] for one in done.chosen), "nothing was forbidden"


class Failing:
    """A constraint that comes to no decision."""

    complete = False

    def begin(self):
        return self

    def allowed(self):
        raise Refused("too complex")

    def accept(self, token):
        raise AssertionError


def test_a_constraint_that_fails_fails_its_request_alone():
    base = tiny_base()
    done = Probe(base).finish(
        constrained(base, "bad", Failing()), replace(request_of(base, None), id="good")
    )
    assert done["bad"] == Completion("bad", (), FinishReason.REFUSED, error="too complex")
    assert done["good"].reason is FinishReason.LENGTH


DEEP: dict[str, Any] = {"type": "string"}
for _ in range(400):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"$ref": "http://127.0.0.1:9/s.json"}, "does not fetch"),
        ({"$ref": "file:///etc/passwd"}, "does not fetch"),
        ({"$ref": "#"}, ""),
        ({"allOf": [{"$ref": "#"}]}, ""),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
         ""),
        ({"$ref": "#/nowhere"}, ""),
        (DEEP, ""),
        ({"type": "integer", "multipleOf": 999_983}, "too much time or memory"),
        ({"not": {"type": "string"}}, "not"),
        ({"not": {}, "x-guidance": {"lenient": True}}, "not"),
        ({"type": "strin"}, "strin"),
        ({"type": "string", "pattern": "(?=a)b"}, ""),
        ({"enum": []}, ""),
    ],
    ids=lambda value: json.dumps(value)[:40],
)  # fmt: skip
def test_hostile_and_impossible_schemas_are_refused(value, words):
    assert words in refused(schema(value))


@pytest.mark.parametrize("regex", ["(", r"(a)\1", "(?=a)b", "(" * 2000, "\ud800", "[^\\s\\S]"])
def test_hostile_and_impossible_expressions_are_refused(regex):
    refused(Wanted("structured_outputs", regex=regex))


@pytest.mark.parametrize(
    "regex",
    [
        "(a+)+b",
        "(((a{1,99}){1,99}){1,99}){1,99}",
        "a{1000000}",
        "b?((a{99}){99}){99}",
        "[ab]*a[ab]{900}",
        r"(\p{L}{1,99}){9}",
    ],
)
def test_expressions_that_blow_up_elsewhere_answer_in_bounded_steps(regex):
    """They are refused, or followed: in either case no step takes long."""
    base = tiny_base()
    try:
        adherence = compiled(grammars(base), Wanted("structured_outputs", regex=regex)).begin()
    except Refused:
        return
    began = time.thread_time()
    for _ in range(200):
        adherence.accept(adherence.allowed().index(200))
    assert time.thread_time() - began < 5.0  # a hundredth of it, were the machine its own


def test_what_was_compiled_is_kept_for_those_of_one_salt_and_not_for_ever(monkeypatch):
    import pretune.serving.grammars as module

    monkeypatch.setattr(module, "_MOST_KEPT", 3 * module._SMALLEST)
    monkeypatch.setattr(module, "try_out", lambda grammar: Tried(None))
    one = grammars(tiny_base())

    async def use() -> None:
        first = await one.constraint(schema({"const": 0}), "a")
        assert await one.constraint(schema({"const": 0}), "a") is first
        assert await one.constraint(schema({"const": 0}), "b") is not first
        for i in range(5):
            await one.constraint(schema({"const": i}), "a")
            assert len(one._known) <= 3

    asyncio.run(use())


def test_compiling_keeps_nobody_waiting_and_its_queue_is_bounded(monkeypatch):
    """While a schema is being compiled the event loop runs, and a queue of them has an end."""
    import threading

    import pretune.serving.grammars as module

    go = threading.Event()
    monkeypatch.setattr(module, "try_out", lambda grammar: Tried(None, size=go.wait(20)))
    one = grammars(tiny_base())

    async def use() -> None:
        waiting = [
            asyncio.create_task(one.constraint(schema({"const": i}), ""))
            for i in range(MOST_WAITING)
        ]
        await asyncio.sleep(0.01)  # the loop is free
        with pytest.raises(Refused) as caught:
            await one.constraint(schema({"const": "x"}), "")
        assert (caught.value.status, caught.value.retry_after) == (429, 1)
        go.set()
        await asyncio.gather(*waiting)

    asyncio.run(use())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"response_format": {"type": "json_schema"}}, '"json_schema" goes with'),
        ({"response_format": {"type": "json_object", "json_schema": {"schema": {}}}}, "only there"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"structured_outputs": {"regex": "a", "grammar": "x"}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"regex": ""}}, "structured_outputs.regex"),
        ({"structured_outputs": {"regex": "a" * 5000}}, "4096"),
        ({"response_format": {"type": "json_schema",
                              "json_schema": {"schema": {"enum": ["x" * 70000]}}}},
         "65536 characters"),
        ({"response_format": {"type": "text"}, "structured_outputs": {"regex": "a"}}, "give one"),
    ],
)  # fmt: skip
def test_forms_that_make_no_sense(fields, words):
    with pytest.raises(Refused) as caught:
        read(ChatBody, {"model": "m", "messages": [QUESTION], **fields})
    assert words in str(caught.value)


FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "payment", "strict": True, "schema": SCHEMAS["object"][0]},
}


def test_over_http_whole_in_pieces_and_several(http, running):
    body = {"model": "free", "max_tokens": 200, "temperature": 1.0, "seed": 1, "n": 3}
    whole = chat(http, **body, response_format=FORMAT)
    assert whole.status_code == 200, whole.text
    texts = [choice["message"]["content"] for choice in whole.json()["choices"]]
    assert all(_payment(json.loads(text)) for text in texts)
    assert {choice["finish_reason"] for choice in whole.json()["choices"]} == {"stop"}
    assert len(set(texts)) > 1
    streamed = chat(http, **body, response_format=FORMAT, stream=True)
    said = dict.fromkeys(range(3), "")
    for piece in events(streamed.text)[:-1]:
        for choice in json.loads(piece)["choices"]:
            said[choice["index"]] += choice["delta"].get("content", "")
    assert list(said.values()) == texts
    plain = chat(http, **body, response_format={"type": "text"})
    assert plain.json() != whole.json()


def test_openais_client_and_the_other_forms(running, http):
    with openai.OpenAI(api_key="none", base_url=f"{running.url}/v1", max_retries=0) as client:
        found = client.chat.completions.create(
            model="base", messages=[QUESTION], max_tokens=600, temperature=1.0, seed=2,
            response_format={"type": "json_object"},
        ).choices[0]  # fmt: skip
        if found.finish_reason == "stop":
            assert isinstance(json.loads(found.message.content), dict)
        else:
            assert found.finish_reason == "length"
            assert found.message.content.startswith("{")
        cut = client.chat.completions.create(
            model="base", messages=[QUESTION], max_tokens=3, response_format=FORMAT
        ).choices[0]
        assert cut.finish_reason == "length"
        word = client.completions.create(
            model="base", prompt="x", extra_body={"structured_outputs": {"regex": "(yes|no)!"}}
        )
        assert word.choices[0].text in ("yes!", "no!")
    hostile = chat(http, model="base", response_format={
        "type": "json_schema", "json_schema": {"schema": {"$ref": "http://127.0.0.1:9/x"}}
    })  # fmt: skip
    assert (hostile.status_code, hostile.json()["error"]["param"]) == (400, "response_format")


@pytest.mark.parametrize(
    ("name", "value"),
    [("response_format", {"type": "json_object"}), ("structured_outputs", {"regex": "a"})],
)
def test_a_task_with_labels_refuses_them_by_name(http, name, value):
    error = chat(http, model="labels", **{name: value}).json()["error"]
    assert error["param"] == name
    assert (
        f'task "labels" answers with one of its labels, which leaves nothing for "{name}"'
        in (error["message"])
    )
