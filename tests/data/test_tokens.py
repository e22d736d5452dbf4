"""Truncation cuts the context only, and says how much."""

from hypothesis import given
from hypothesis import strategies as st

from pretune.core.fakes import ByteRenderer
from pretune.core.records import Example, total_tokens
from pretune.core.segments import Role, Turn
from pretune.data.rejected import Reason, Rejected
from pretune.data.tokens import fit, tokenize

RENDERER = ByteRenderer()


def example(context="", answer="yes", system="Read.", user="Is it?"):
    turns = [Turn(Role.SYSTEM, system)]
    turns += [Turn(Role.CONTEXT, context)] if context else []
    turns += [Turn(Role.USER, user)]
    turns += [Turn(Role.TARGET, answer)] if answer is not None else []
    return Example("f:1", tuple(turns))


def text_of(tokens, role):
    parts = [s.ids for s in tokens.segments if s.role is role and not s.glue]
    return "".join(RENDERER.decode(ids) for ids in parts)


def test_context_is_cut_from_its_end_and_nothing_else():
    whole = tokenize(example("0123456789"), RENDERER, limit=500)
    assert whole.cut == 0
    length = len(whole.example)
    cut = tokenize(example("0123456789"), RENDERER, limit=length - 4)
    assert cut.cut == 4
    assert len(cut.example) == length - 4
    assert text_of(cut.example, Role.CONTEXT) == "012345"
    for role in (Role.SYSTEM, Role.USER, Role.TARGET):
        assert text_of(cut.example, role) == text_of(whole.example, role)
    assert cut.example.segments[-1].ids == RENDERER.end_ids


def test_prompt_without_context_to_cut_is_rejected_with_its_length():
    result = tokenize(example(), RENDERER, limit=20)
    # bos, header, 5 letters, end; header, 6 letters, end; header = 17 tokens; "yes" and end = 4.
    assert result == Rejected(
        "f:1",
        Reason.TOO_LONG,
        "prompt longer than the context: 17 tokens, room for 16",
        [{"system": "Read."}, {"user": "Is it?"}, {"target": "yes"}],
    )


def test_room_for_an_answer_that_is_still_to_come():
    assert tokenize(example(), RENDERER, limit=25, answer_room=8).cut == 0
    assert tokenize(example(), RENDERER, limit=24, answer_room=8).reason is Reason.TOO_LONG
    assert tokenize(example(answer=None), RENDERER, limit=25, answer_room=8).cut == 0


def test_answer_without_tokens_is_an_empty_target():
    assert tokenize(example(answer=""), RENDERER, limit=500).reason is Reason.EMPTY_TARGET


def test_prompt_is_the_same_with_and_without_the_answer():
    with_answer = tokenize(example("abc"), RENDERER, 500).example
    assert (
        with_answer.prompt == tokenize(example("abc", answer=None), RENDERER, 500).example.segments
    )


@given(st.lists(st.tuples(st.sampled_from(Role), st.text()), min_size=1), st.integers(0, 200))
def test_fit_cuts_no_more_than_it_must_and_context_only(parts, room):
    segments = RENDERER.encode(RENDERER.render([Turn(role, text) for role, text in parts]))
    fitted = fit(segments, room)
    assert total_tokens(segments) - fitted.cut == total_tokens(fitted.segments)
    contexts = [s for s in fitted.segments if s.role is Role.CONTEXT and not s.glue]
    if total_tokens(fitted.segments) > room:
        assert total_tokens(contexts) == 0
    else:
        assert fitted.cut == max(0, total_tokens(segments) - room)
    for before, after in zip(segments, fitted.segments, strict=True):
        assert after.ids == before.ids[: len(after.ids)]
        if before.glue or before.role is not Role.CONTEXT:
            assert after == before
