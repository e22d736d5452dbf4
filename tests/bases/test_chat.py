"""Turns to tokens and back, under templates and tokenizers of several kinds."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from pretune.bases.chat import ChatRenderer
from pretune.bases.fakes import byte_tokenizer
from pretune.bases.load import load_renderer
from pretune.core.errors import BaseModelError
from pretune.core.segments import Role, Segment, Turn

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}"
    "{% endif %}{% for m in rest %}{% if loop.first and system %}"
    "{% set text = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + m['content'] %}"
    "{% else %}{% set text = m['content'] %}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen3's: the last answer is shown with an empty thought, and one to come without."""
THINKS_FIRST = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
"""As DeepSeek R1's: a thought is opened where an answer is to come, and in none that is known."""
DROPS_SYSTEM = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['content'] }}{% endif %}{% endfor %}"
)
SPECIAL = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<end_of_turn>"]

SYSTEM = Turn(Role.SYSTEM, "Be brief.")
CONTEXT = Turn(Role.CONTEXT, "The rate is 4%.")
USER = Turn(Role.USER, "Which rate?")
ANSWER = Turn(Role.ASSISTANT, "4%")
TARGET = Turn(Role.TARGET, "4%")
MORE = Turn(Role.USER, "Since when?")

CORPUS = ["the rate is four percent a year", "which rate is it", "since when, and why not more"] * 9


def wrapped(backend: Tokenizer, template: str | None, end: str = "</s>") -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token=end,
        additional_special_tokens=SPECIAL[3:],
        chat_template=template,
    )


def byte_level() -> Tokenizer:
    """As GPT-2's, Qwen's and Llama 3's: bytes, merged within words that own the space before."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return backend


def metaspace(scheme: str) -> Tokenizer:
    """As Llama 2's, Mistral's and Gemma's: spaces are letters of the words, bytes a fallback."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=[*SPECIAL, "<unk>"], show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    model = json.loads(backend.to_str())["model"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = model["vocab"] | {token: 1000 + i for i, token in enumerate(bytes_)}
    merges = [tuple(merge) for merge in model["merges"]]
    backend.model = models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>")
    return backend


TEMPLATES = {
    "chatml": (CHATML, "<|im_end|>"),
    "llama-2": (LLAMA_2, "</s>"),
    "gemma": (GEMMA, "</s>"),
    "none": (None, "</s>"),
}


def legacy() -> Tokenizer:
    """As Llama 2's files of old: the space is added by the normalizer."""
    backend = metaspace("never")
    backend.pre_tokenizer = None
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    backend.normalizer = normalizers.Sequence(steps)
    return backend


BACKENDS = {
    "legacy": legacy(),
    "byte-level": byte_level(),
    "metaspace-always": metaspace("always"),
    "metaspace-first": metaspace("first"),
    "metaspace-never": metaspace("never"),
}


@pytest.fixture(params=TEMPLATES)
def template(request) -> tuple[str | None, str]:
    return TEMPLATES[request.param]


@pytest.fixture(params=BACKENDS)
def renderer(request, template) -> ChatRenderer:
    return ChatRenderer(wrapped(BACKENDS[request.param], *template), 512)


def shown(renderer, *turns):
    return [(s.role.value, s.text) for s in renderer.render(turns)]


def flat(segments) -> list[int]:
    return [token for segment in segments for token in segment.ids]


def ids(renderer, *turns) -> list[int]:
    return flat(renderer.encode(renderer.render(turns)))


def test_segments_of_the_fake_template():
    renderer = ChatRenderer(byte_tokenizer(), 512)
    assert shown(renderer, SYSTEM, CONTEXT, USER, TARGET) == [
        ("system", "<|bos|><|system|>"),
        ("system", "Be brief."),
        ("context", "<|end|><|user|>"),
        ("context", "The rate is 4%."),
        ("user", "\n\n"),
        ("user", "Which rate?"),
        ("user", "<|end|><|assistant|>"),
        ("target", "4%"),
        ("target", "<|end|>"),
    ]
    assert shown(renderer, USER)[-1] == ("user", "<|end|><|assistant|>")


def test_segments_of_chatml():
    renderer = ChatRenderer(wrapped(BACKENDS["byte-level"], *TEMPLATES["chatml"]), 512)
    assert shown(renderer, SYSTEM, USER, ANSWER, MORE) == [
        ("system", "<|im_start|>system\n"),
        ("system", "Be brief."),
        ("user", "<|im_end|>\n<|im_start|>user\n"),
        ("user", "Which rate?"),
        ("user", "<|im_end|>\n<|im_start|>assistant\n"),
        ("assistant", "4%"),
        ("assistant", "<|im_end|>"),
        ("user", "\n<|im_start|>user\n"),
        ("user", "Since when?"),
        ("user", "<|im_end|>\n<|im_start|>assistant\n"),
    ]
    assert renderer.decode(renderer.end_ids) == ""
    assert [renderer._tokenizer.decode([i]) for i in renderer.end_ids] == ["<|im_end|>"]


def test_segments_of_llama_2():
    renderer = ChatRenderer(wrapped(BACKENDS["metaspace-first"], *TEMPLATES["llama-2"]), 512)
    assert shown(renderer, SYSTEM, USER, ANSWER, MORE) == [
        ("system", "<s>[INST] <<SYS>>\n"),
        ("system", "Be brief."),
        ("user", "\n<</SYS>>\n\n"),
        ("user", "Which rate?"),
        ("user", " [/INST] "),
        ("assistant", "4%"),
        ("assistant", " </s>"),
        ("user", "<s>[INST] "),
        ("user", "Since when?"),
        ("user", " [/INST] "),
    ]


def test_system_turn_that_a_template_refuses_joins_the_user():
    renderer = ChatRenderer(wrapped(BACKENDS["metaspace-never"], *TEMPLATES["gemma"]), 512)
    assert shown(renderer, SYSTEM, USER, TARGET) == [
        ("system", "<s><start_of_turn>user\n"),
        ("system", "Be brief."),
        ("user", "\n\n"),
        ("user", "Which rate?"),
        ("user", "<end_of_turn>\n<start_of_turn>model\n"),
        ("target", "4%"),
        ("target", "<end_of_turn>"),
    ]


def test_turns_that_a_template_refuses_are_named():
    renderer = ChatRenderer(wrapped(BACKENDS["byte-level"], *TEMPLATES["gemma"]), 512)
    with pytest.raises(BaseModelError, match=r"refuses these turns: Conversation roles must"):
        renderer.render([ANSWER, USER])


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% include 'x' %}", "no loader"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"),
        ("{{ messages[0]['content'].encode('x') }}", "unknown encoding"),
        ("{{ messages + 1 }}", "can only concatenate"),
        ("{{ messages", "unexpected end"),
    ],
)
def test_a_template_that_breaks_is_refused(template, words):
    renderer = ChatRenderer(wrapped(BACKENDS["byte-level"], template), 512)
    with pytest.raises(BaseModelError, match=f"refuses these turns: .*{words}"):
        renderer.render([USER])


def test_template_that_drops_a_turn_is_refused():
    renderer = ChatRenderer(wrapped(BACKENDS["byte-level"], DROPS_SYSTEM), 512)
    with pytest.raises(BaseModelError, match=r'drops or moves the "system" turn'):
        renderer.render([SYSTEM, USER])


def test_tokenizer_without_an_end_is_refused():
    for named in ({}, {"eos_token": ""}):
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=BACKENDS["byte-level"], **named)
        with pytest.raises(BaseModelError, match=r"no end token; set eos_token"):
            ChatRenderer(tokenizer, 512)


def test_context_does_not_depend_on_what_follows(renderer):
    prompts = [
        renderer.encode(renderer.render(turns))
        for turns in (
            [SYSTEM, CONTEXT, USER],
            [SYSTEM, CONTEXT, MORE],
            [SYSTEM, CONTEXT, USER, ANSWER, MORE],
            [SYSTEM, CONTEXT],
        )
    ]
    starts = []
    for segments in prompts:
        last = max(i for i, s in enumerate(segments) if s.role is Role.CONTEXT and not s.glue)
        starts.append(flat(segments[: last + 1]))
    assert starts[0]
    assert starts[1:] == starts[:1] * 3


def test_turn_two_starts_with_turn_one(renderer):
    first = ids(renderer, SYSTEM, USER)
    written = renderer.encode(renderer.render([SYSTEM, USER, TARGET]))
    second = renderer.encode(renderer.render([SYSTEM, USER, ANSWER, MORE]))
    assert flat(second)[: len(first)] == first
    answered = [s for s in written if s.role is Role.TARGET]
    assert [s.ids for s in second if s.role is Role.ASSISTANT] == [s.ids for s in answered]
    assert flat(second)[: len(flat(written))] == flat(written)


@pytest.mark.parametrize("template", [THINKS, THINKS_FIRST, LLAMA_2, GEMMA, None])
def test_an_answer_to_come_is_opened_as_in_training(template):
    renderer = ChatRenderer(wrapped(BACKENDS["byte-level"], template, "<|im_end|>"), 512)
    trained = renderer.encode(renderer.render([SYSTEM, USER, TARGET]))
    assert ids(renderer, SYSTEM, USER) == flat(s for s in trained if s.role is not Role.TARGET)


def test_model_writes_its_end_and_nothing_before_its_answer(renderer):
    segments = renderer.encode(renderer.render([SYSTEM, USER, TARGET]))
    written = [s for s in segments if s.role is Role.TARGET]
    assert not written[0].glue
    assert renderer.decode(written[0].ids) == "4%"
    assert written[-1].ids[-1] in renderer.end_ids


@settings(max_examples=30)
@given(st.text(max_size=12), st.sampled_from(SPECIAL), st.text(max_size=12), st.data())
def test_hostile_text_stays_text(before, token, after, data):
    backend = data.draw(st.sampled_from(sorted(BACKENDS)))
    renderer = ChatRenderer(wrapped(BACKENDS[backend], *TEMPLATES["chatml"]), 512)
    text = before + token + after
    segments = renderer.encode(renderer.render([SYSTEM, Turn(Role.USER, text)]))
    specials = set(renderer._tokenizer.all_special_ids) - {renderer._tokenizer.unk_token_id}
    for segment in segments:
        if not segment.glue:
            assert not specials & set(segment.ids)


def test_sentinels_of_the_cut_are_text_too():
    renderer = ChatRenderer(byte_tokenizer(), 512)
    hostile = Turn(Role.CONTEXT, "\ue0001\ue001 \ue0000\ue001")
    assert [s.text for s in renderer.render([hostile, USER]) if not s.glue] == [
        hostile.text,
        USER.text,
    ]


def test_empty_texts_leave_the_frame(renderer):
    empty = renderer.render([Turn(Role.SYSTEM, ""), Turn(Role.USER, "")])
    assert [s.text for s in empty] == [s.text for s in renderer.render([SYSTEM, USER]) if s.glue]
    assert all(len(segment) for segment in renderer.encode(empty))


TEXTS = ["rate", "the rate", " the rate ", "4%", "该利率为4%", "a\nb", "x  y", "naïve 🙂"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_text_survives(backend, text):
    renderer = ChatRenderer(wrapped(BACKENDS[backend], *TEMPLATES["chatml"]), 512)
    content = next(
        s for s in renderer.encode(renderer.render([Turn(Role.USER, text)])) if not s.glue
    )
    assert renderer.decode(content.ids) == text.strip()


@pytest.mark.parametrize("backend", BACKENDS)
def test_pieces_grow_no_space(backend):
    """Tokens of the pieces say what the rendered text says: no space that nobody wrote."""
    renderer = ChatRenderer(wrapped(BACKENDS[backend], *TEMPLATES["llama-2"]), 512)
    segments = renderer.render([SYSTEM, USER, ANSWER, MORE])
    decoded = renderer._tokenizer.decode(flat(renderer.encode(segments)))
    assert decoded == "".join(segment.text for segment in segments)


def begins_with_bos() -> Tokenizer:
    """As Llama's: the tokenizer itself puts BOS before a text."""
    backend = byte_level()
    bos = backend.token_to_id("<s>")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bos)]
    )
    return backend


@pytest.mark.parametrize(
    ("backend", "template", "begins"),
    [
        (begins_with_bos(), None, True),
        (begins_with_bos(), CHATML, True),
        (byte_level(), LLAMA_2, True),  # the template writes it, the tokenizer does not
        (byte_level(), GEMMA, True),
        (byte_level(), CHATML, False),  # as Qwen's: no BOS anywhere
        (byte_level(), None, False),  # as GPT-2's
    ],
)
def test_a_plain_text_begins_as_the_base_has_learned(backend, template, begins):
    renderer = ChatRenderer(wrapped(backend, template), 512)
    bos = backend.token_to_id("<s>")
    assert renderer.start_ids == ((bos,) if begins else ())


def test_a_plain_text_of_the_embedded_base_begins_with_bos():
    renderer = load_renderer()
    chat = renderer.encode(renderer.render([Turn(Role.USER, "x")]))
    assert renderer.start_ids == chat[0].ids[:1] == (1,)


def test_digest_covers_template_and_tokenizer():
    tokenizers = [
        wrapped(BACKENDS["byte-level"], CHATML),
        wrapped(BACKENDS["byte-level"], GEMMA),
        wrapped(BACKENDS["metaspace-never"], CHATML),
        wrapped(BACKENDS["byte-level"], CHATML, end="<|im_end|>"),
    ]
    assert len({ChatRenderer(tokenizer, 512).digest for tokenizer in tokenizers}) == 4
    same = wrapped(BACKENDS["byte-level"], CHATML)
    assert ChatRenderer(same, 512).digest == ChatRenderer(tokenizers[0], 64).digest


def test_what_a_tokenizers_file_says_of_lengths_changes_neither_prompts_nor_the_digest():
    text = [Segment(Role.USER, "Which account has the invoice?")]
    plain = ChatRenderer(byte_tokenizer(), 512)
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=64)
    limited = ChatRenderer(tokenizer, 512)
    assert limited.digest == plain.digest
    assert limited.encode(text) == plain.encode(text)


def test_threads_that_tokenise_at_once_never_read_a_users_text_as_special():
    tokenizer = byte_tokenizer()
    renderer = ChatRenderer(tokenizer, 512)
    end = tokenizer.eos_token_id
    glue = [Segment(Role.USER, tokenizer.eos_token * 200, glue=True)]
    text = [Segment(Role.USER, tokenizer.eos_token * 200)]
    with ThreadPoolExecutor(4) as threads:
        asked = [glue, text] * 100
        found = list(threads.map(renderer.encode, asked))
    for segments, one in zip(asked, found, strict=True):
        assert (set(flat(one)) == {end}) is segments[0].glue
