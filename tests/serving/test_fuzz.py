"""Whatever comes in as a request: an answer or a refusal, never a fault, and the server goes on."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pretune.serving.bodies import ChatBody, CompletionBody
from serving.test_server import QUESTION

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"
GOOD = {
    CHAT: {"model": "free", "messages": [QUESTION], "max_tokens": 1},
    PLAIN: {"model": "base", "prompt": "Which rate?", "max_tokens": 1},
}
FIELDS = sorted({*ChatBody.model_fields, *CompletionBody.model_fields})

texts = st.text(max_size=8) | st.text(st.characters(categories=["Cs", "Cc", "Co"]), max_size=3)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, 2**63, -1, 0, 1, True])
leaves = st.none() | st.booleans() | numbers | texts | st.sampled_from(["free", "labels", "user"])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
answers = {200, 400, 404, 413}


def holds(inside, path: str, content: bytes) -> None:
    response = inside.post(path, content=content)
    assert response.status_code in answers, response.text
    if response.status_code != 200:
        assert response.json()["error"]["message"]


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()  # lone surrogates and NaN included


@settings(max_examples=60)
@given(st.sampled_from([CHAT, PLAIN]), st.binary(max_size=60) | values.map(encoded))
def test_bytes_and_any_json(inside, path, content):
    holds(inside, path, content)


@st.composite
def mutated(draw, good: dict[str, dict[str, Any]], fields: list[str]) -> tuple[str, bytes]:
    """A path and its good body with fields changed, taken out, or of another route."""
    path = draw(st.sampled_from(sorted(good)))
    body = dict(good[path])
    for name in draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3)):
        if draw(st.booleans()):
            body[name] = draw(values)
        else:
            body.pop(name, None)
    content = encoded(body)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.binary(max_size=2)) + content[place + 1 :]
    return path, content


@settings(max_examples=150)
@given(mutated(GOOD, FIELDS))
def test_good_bodies_gone_bad(inside, asked):
    holds(inside, *asked)


roles = st.sampled_from(["system", "developer", "context", "user", "assistant", "tool", ""])
messages = st.lists(
    st.fixed_dictionaries(
        {"role": roles, "content": texts | st.lists(values, max_size=2)},
        optional={"name": texts},
    ),
    max_size=4,
)


@settings(max_examples=100)
@given(
    st.sampled_from(["base", "free", "labels", "document"]),
    messages,
    st.none() | st.dictionaries(st.sampled_from(["text", "question", "x"]), values, max_size=3),
    st.booleans(),
)
def test_any_conversation(inside, model, said, fields, stream):
    body = {"model": model, "messages": said, "stream": stream, "n": 1}
    if fields is not None:
        body["fields"] = fields
    if model != "labels":
        body["max_tokens"] = 2
    holds(inside, CHAT, encoded(body))


@settings(max_examples=20)
@given(values, st.text(st.sampled_from("ab()[]{}|*+?\\^$.,1-/&~\n\ud800"), max_size=12))
def test_any_schema_and_any_expression(inside, schema, regex):
    schemas = schema if isinstance(schema, dict) else {"enum": [schema]}
    wanted = {"type": "json_schema", "json_schema": {"schema": schemas}}
    holds(inside, CHAT, encoded({**GOOD[CHAT], "response_format": wanted}))
    holds(inside, CHAT, encoded({**GOOD[CHAT], "structured_outputs": {"regex": regex}}))


def test_afterwards_good_requests_are_answered(inside):
    for path, body in GOOD.items():
        assert inside.post(path, json=body).status_code == 200
    assert inside.service.worker.load == 0
    assert inside.service.worker.healthy
    assert inside.service.worker.stats().blocks_held == 0
