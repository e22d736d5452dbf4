"""What a client may send, field by field, and what of it the engine is given and says."""

import asyncio
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx2 as httpx
import openai
import pytest

from pretune.adapters.injection import Injection
from pretune.core.records import Chosen, Request, Row
from pretune.core.sampling import Sampling
from pretune.core.segments import Role, Segment, TokenSegment, Turn
from pretune.data.dataset import prompt_of
from pretune.engine.reference import Reference
from pretune.serving.bodies import ChatBody, CompletionBody, Wanted
from serving.conftest import KEY, Running, serve_in_memory

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HEADERS = {"authorization": f"Bearer {KEY}"}
WEIGHT = 3.0

SAMPLED: dict[str, Any] = {
    "temperature": 0.7, "top_p": 0.91, "top_k": 13, "min_p": 0.02,
    "presence_penalty": 0.3, "frequency_penalty": -0.4, "repetition_penalty": 1.2,
}  # fmt: skip
"""What the engine knows by the same name."""

SHARED: dict[str, Any] = SAMPLED | {
    "model": "free", "seed": 11, "stop": ["|end|", "zzz"], "n": 2, "stream": True,
    "stream_options": {"include_usage": True}, "timeout": 1234.5, "cache_salt": "mine",
}  # fmt: skip

SCHEMA = {"type": "object", "properties": {"a": {"enum": ["b"]}}}
BY_SCHEMA = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "ab", "schema": SCHEMA}}
}
BY_REGEX = {"structured_outputs": {"regex": "[a-z]{9}"}}

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": "Be kind."},
    {"role": "context", "content": "The rate is 4%."},
    {"role": "user", "content": [{"type": "text", "text": "Which"}, {"type": "text", "text": "?"}]},
    {"role": "assistant", "content": "The rate?"},
    {"role": "user", "content": "Yes."},
]
TURNS = (
    Turn(Role.SYSTEM, "Be brief."), Turn(Role.SYSTEM, "Be kind."),
    Turn(Role.CONTEXT, "The rate is 4%."), Turn(Role.USER, "Which?"),
    Turn(Role.ASSISTANT, "The rate?"), Turn(Role.USER, "Yes."),
)  # fmt: skip


class Way(NamedTuple):
    """One way of asking; all of a kind together name every field of its body."""

    path: str
    kind: type[ChatBody | CompletionBody]
    body: dict[str, Any]


WAYS = {
    "messages": Way(CHAT, ChatBody, {
        **SHARED, **BY_SCHEMA, "messages": MESSAGES, "max_completion_tokens": 3,
        "logprobs": True, "top_logprobs": 4,
    }),
    "fields": Way(CHAT, ChatBody, {
        **SHARED, **BY_REGEX, "fields": {"text": "Which rate?"}, "max_tokens": 3,
        "logprobs": True, "top_logprobs": 4,
    }),
    "text": Way(COMPLETIONS, CompletionBody, {
        **SHARED, **BY_SCHEMA, "prompt": "Which rate?", "max_tokens": 3, "logprobs": 4,
    }),
    "texts": Way(COMPLETIONS, CompletionBody, {
        **SHARED, **BY_REGEX, "prompt": ["Which rate?", "Why?"], "max_tokens": 3, "logprobs": 4,
    }),
}  # fmt: skip

WANTED = {
    "response_format": Wanted("response_format", schema=json.dumps(SCHEMA)),
    "structured_outputs": Wanted("structured_outputs", regex="[a-z]{9}"),
}

INSTEAD = {"model": "base", "messages": MESSAGES[:1], "fields": {"text": "No."}, "prompt": "No."}
"""Other values of what cannot be left out."""

WITH = {"stream": "stream_options", "logprobs": "top_logprobs"}
"""What makes no sense without a field."""


class Done(NamedTuple):
    """What came of a request: its answers as the engine was given them (without ids and stop
    tests), the stop texts that each test knows, the minutes that they may take, and what was
    said."""

    requests: tuple[Request, ...]
    stops: tuple[tuple[str, ...], ...]
    minutes: tuple[int, ...]
    streamed: bool
    usage: bool
    alternatives: int | None


@pytest.fixture(scope="module")
def wired(tmp_path_factory) -> Iterator[Running]:
    folder, limits = tmp_path_factory.mktemp("tasks"), {"tasks": {"free": {"weight": WEIGHT}}}
    yield from serve_in_memory(folder, keys=(KEY,), limits=limits)


@pytest.fixture
def done(wired, monkeypatch) -> Iterator[Callable[[str, dict[str, Any]], Done]]:
    """Asks over HTTP, and watches what the engine is given."""
    given: list[Request] = []
    minutes: list[int] = []
    submit, run = wired.worker._engine.submit, wired.worker.run

    def submitted(request, options=None):
        given.append(request)
        submit(request, options)

    def ran(request, options, until):
        minutes.append(math.ceil((until - asyncio.get_running_loop().time()) / 60))
        return run(request, options, until)

    monkeypatch.setattr(wired.worker._engine, "submit", submitted)
    monkeypatch.setattr(wired.worker, "run", ran)
    with httpx.Client(base_url=wired.url, headers=HEADERS, timeout=30) as http:

        def ask(path: str, body: dict[str, Any]) -> Done:
            given.clear()
            minutes.clear()
            response = http.post(path, json=body)
            assert response.status_code == 200, response.text
            given.sort(key=lambda one: one.sampling.seed or 0)
            text = response.text.removesuffix("data: [DONE]\n\n")
            streamed = response.headers["content-type"].startswith("text/event-stream")
            said = [json.loads(one) for one in text.split("data: ")[1:] if streamed]
            said = said or [response.json()]
            return Done(
                tuple(replace(r, id="", sampling=replace(r.sampling, stop=None)) for r in given),
                tuple(_stops(wired, one.sampling) for one in given),
                tuple(minutes),
                streamed,
                "usage" in said[-1],
                _alternatives(said[0]["choices"][0]["logprobs"]),
            )

        yield ask


def _stops(wired: Running, sampling: Sampling) -> tuple[str, ...]:
    def ends(text: str) -> bool:
        (segment,) = wired.base.renderer.encode([Segment(Role.USER, f"before {text}")])
        return sampling.stop is not None and sampling.stop(segment.ids)

    assert not ends("all else")
    return tuple(text for text in SHARED["stop"] if ends(text))


def _alternatives(log_probs: Any) -> int | None:
    if log_probs is None:
        return None
    content = log_probs.get("content")
    return len(content[0]["top_logprobs"] if content else log_probs["top_logprobs"][0])


def prompts(wired: Running, body: dict[str, Any]) -> list[tuple[TokenSegment, ...]]:
    """What is asked, as the task's template or the conversation has it."""
    renderer, spec = wired.base.renderer, wired.service.catalogue["free"].spec
    if "messages" in body:
        return [renderer.encode(renderer.render(TURNS))]
    given = body["fields"]["text"] if "fields" in body else body["prompt"]
    texts = [given] if isinstance(given, str) else given
    return [prompt_of(spec, renderer, Row("r", {"text": text})).prompt for text in texts]


@pytest.mark.parametrize("name", WAYS)
def test_what_is_sent_reaches_the_engine_field_by_field(wired, done, name):
    path, _, body = WAYS[name]
    found = done(path, body)
    salt = wired.service.keys.holder(HEADERS["authorization"]) + body["cache_salt"]
    (wanted,) = (WANTED[field] for field in body if field in WANTED)
    constraint = asyncio.run(wired.service.grammars.constraint(wanted, salt))
    asked = [segments for segments in prompts(wired, body) for _ in range(body["n"])]
    assert list(found.requests) == [
        Request(
            id="",
            segments=segments,
            adapter="free",
            max_new_tokens=3,
            sampling=Sampling(**SAMPLED, seed=11 + i, logprobs=4, constraint=constraint),
            group="free",
            weight=WEIGHT,
            salt=salt,
        )
        for i, segments in enumerate(asked)
    ]
    assert set(found.stops) == {("|end|", "zzz")}
    assert set(found.minutes) == {21}  # of 1234.5 seconds
    assert found[3:] == (True, True, 4)


@pytest.mark.parametrize("kind", [ChatBody, CompletionBody])
def test_every_field_of_a_body_is_sent_with_a_value_of_its_own(kind):
    sent = {name: way.body[name] for way in WAYS.values() if way.kind is kind for name in way.body}
    assert sent.keys() == kind.model_fields.keys(), "add the new field to the ways of asking"
    fields = kind.model_fields
    assert [name for name, value in sent.items() if value == fields[name].get_default()] == []
    values = [json.dumps(v) for name, v in sent.items() if name not in ("stream", "logprobs")]
    one_meaning = kind is ChatBody  # max_tokens and max_completion_tokens
    assert len(values) - len(set(values)) == one_meaning


@pytest.mark.parametrize("kind", [ChatBody, CompletionBody])
def test_nothing_is_accepted_and_ignored(done, kind):
    """Without any one field something else is done."""
    ways = {name: way for name, way in WAYS.items() if way.kind is kind}
    whole = {name: done(way.path, way.body) for name, way in ways.items()}
    ignored = []
    for field in kind.model_fields:
        name = next(name for name, way in ways.items() if field in way.body)
        body = {k: v for k, v in ways[name].body.items() if k not in (field, WITH.get(field))}
        body |= {field: INSTEAD[field]} if field in INSTEAD else {}
        if done(ways[name].path, body) == whole[name]:
            ignored.append(field)
    assert ignored == []


def test_the_page_names_every_field_that_is_honoured():
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    told = page.partition("Honoured: ")[2].partition("Every other field")[0]
    named = {name.partition(".")[0] for name in re.findall("`([a-z_.]+)`", told)}
    known = ChatBody.model_fields.keys() | CompletionBody.model_fields.keys()
    assert named == known - {"model", "messages", "fields", "prompt"}


LETTERS = {"structured_outputs": {"regex": "[a-z]{20}"}}
"""So that each token is a letter, and none the end."""

DRAWN = {"model": "base", "temperature": 1.0, "seed": 5, "max_tokens": 12}


@pytest.fixture
def client(wired) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"{wired.url}/v1", max_retries=0) as one:
        yield one


def drawn(wired: Running, segments: tuple[TokenSegment, ...], seed: int) -> list[Chosen]:
    """What the engine chooses for ``seed`` without HTTP, its log-probabilities and the two best
    beside them checked against the reference's."""
    wanted = Wanted("structured_outputs", regex=LETTERS["structured_outputs"]["regex"])

    async def chosen() -> list[Chosen]:
        constraint = await wired.service.grammars.constraint(wanted, "")
        how = Sampling(temperature=1.0, seed=seed, logprobs=2, constraint=constraint)
        request = Request(f"seed-{seed}", segments, None, 12, how)
        return [one async for output in wired.worker.run(request) for one in output.new]

    found = asyncio.run(chosen())
    reference = Reference(Injection(wired.base), ())
    ids = [one.token for one in found]
    logits = reference.target_logits(Request("r", segments), ids).log_softmax(-1)
    for one, row in zip(found, logits, strict=True):
        best = row.topk(2)
        assert one.log_prob == pytest.approx(float(row[one.token]), abs=1e-4)
        assert [token for token, _ in one.top] == best.indices.tolist()
        assert [value for _, value in one.top] == pytest.approx(best.values.tolist(), abs=1e-4)
    return found


def letters(wired: Running, chosen: list[Chosen]) -> list[str]:
    return [wired.base.renderer.spell([one.token]) for one in chosen]


def stopped(wired: Running, both: list[list[Chosen]]) -> tuple[str, list[list[Chosen]], list[str]]:
    """A stop text that the first of two answers comes to and the second does not; the tokens up to
    there, and the texts before it."""
    first, second = ("".join(letters(wired, one)) for one in both)
    assert first != second
    stop = next(first[i : i + 2] for i in range(4, 9) if first[i : i + 2] not in second)
    end = first.index(stop)
    return stop, [both[0][: end + 2], both[1]], [first[:end], second]


def test_completions_through_openais_client_say_what_the_engine_chose(wired, client):
    renderer = wired.base.renderer
    start = TokenSegment(Role.USER, renderer.start_ids, glue=True)
    segments = (start, *renderer.encode([Segment(Role.USER, "Which rate?")]))
    both = [drawn(wired, segments, seed) for seed in (5, 6)]
    stop, chosen, texts = stopped(wired, both)
    asked = {**DRAWN, "prompt": "Which rate?", "logprobs": 2, "n": 2, "stop": stop}
    whole = client.completions.create(**asked, extra_body=LETTERS).choices
    assert [choice.text for choice in whole] == texts
    assert [choice.finish_reason for choice in whole] == ["stop", "length"]
    pieces = [
        piece.choices[0]
        for piece in client.completions.create(**asked, extra_body=LETTERS, stream=True)
    ]
    for index, one in enumerate(chosen):
        told = whole[index].logprobs
        assert whole[index].index == index
        assert told.tokens == letters(wired, one)
        assert told.token_logprobs == pytest.approx([each.log_prob for each in one])
        for said, each in zip(told.top_logprobs, one, strict=True):
            best = {renderer.spell([token]): value for token, value in reversed(each.top)}
            assert said == pytest.approx(best)
        own = [piece for piece in pieces if piece.index == index]
        assert "".join(piece.text for piece in own) == texts[index]
        assert own[-1].finish_reason == whole[index].finish_reason
        assert [piece.finish_reason for piece in own[:-1]] == [None] * (len(own) - 1)
        parts = [piece.logprobs for piece in own if piece.logprobs]
        assert [t for part in parts for t in part.tokens] == told.tokens
        values = [value for part in parts for value in part.token_logprobs]
        assert values == pytest.approx(told.token_logprobs)
        tops = [top for part in parts for top in part.top_logprobs]
        assert [top.keys() for top in tops] == [top.keys() for top in told.top_logprobs]


def test_a_streamed_chat_through_openais_client_says_what_the_engine_chose(wired, client):
    renderer = wired.base.renderer
    segments = renderer.encode(renderer.render([Turn(Role.USER, "Which rate?")]))
    both = [drawn(wired, segments, seed) for seed in (5, 6)]
    stop, chosen, texts = stopped(wired, both)
    stream = client.chat.completions.create(
        **DRAWN, messages=[{"role": "user", "content": "Which rate?"}], n=2, stop=stop,
        logprobs=True, top_logprobs=2, stream=True, extra_body=LETTERS,
    )  # fmt: skip
    pieces = [piece.choices[0] for piece in stream]

    def said(token: int) -> tuple[str, list[int] | None]:
        text = renderer.spell([token])
        return text, None if "\ufffd" in text else list(text.encode())

    for index, one in enumerate(chosen):
        own = [piece for piece in pieces if piece.index == index]
        assert "".join(piece.delta.content or "" for piece in own) == texts[index]
        assert own[-1].finish_reason == ("stop", "length")[index]
        told = [token for piece in own if piece.logprobs for token in piece.logprobs.content]
        assert [(token.token, token.bytes) for token in told] == [said(t.token) for t in one]
        assert [token.logprob for token in told] == pytest.approx([t.log_prob for t in one])
        for token, each in zip(told, one, strict=True):
            best = [(top.token, top.bytes) for top in token.top_logprobs]
            assert best == [said(top) for top, _ in each.top]
            values = [value for _, value in each.top]
            assert [top.logprob for top in token.top_logprobs] == pytest.approx(values)
