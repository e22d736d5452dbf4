"""A base of this machine as a teacher."""

import json

import pytest

from pretune.api import distil_documents
from pretune.api.teachers import BaseTeacher
from pretune.bases.fakes import save_tiny, tiny_base
from pretune.core.errors import SpecError
from pretune.data.distil.pairs import form_of
from pretune.data.teacher.ask import Ask, CallFailed
from pretune.spec.distil import parse_distil


def test_a_base_answers_and_repeats_itself():
    base = tiny_base(max_position_embeddings=256)
    teacher = BaseTeacher(base)
    ask = Ask("Be brief.", "Which fee?", 8, 1.0, 3)
    reply = teacher.call(ask)
    assert reply == teacher.call(ask)
    assert 0 < reply.answer_tokens <= 8
    assert reply.whole == (reply.answer_tokens < 8)
    assert teacher.model.startswith(base.digest)
    with pytest.raises(CallFailed, match="longer than the context"):
        teacher.call(Ask("", "x" * 400, 8, 0.0, 0))


def test_a_base_is_held_to_a_form():
    teacher = BaseTeacher(tiny_base(max_position_embeddings=2048))
    form = form_of(1)
    held = teacher.call(Ask("s", "u", 1200, 1.0, 3, form))
    assert held.whole
    for pair in json.loads(held.text):
        assert set(pair) == {"question", "answer", "support"}
    free = Ask("s", "u", 40, 1.0, 3)
    with pytest.raises(ValueError, match=r"Expecting|char"):
        json.loads(teacher.call(free).text)
    assert free.key("m") != Ask("s", "u", 40, 1.0, 3, form).key("m")
    with pytest.raises(SpecError, match="is for a base of this machine"):
        parse_distil({"teacher": {"endpoint": {"url": "https://h/v1", "model": "m"}, "held": True}})


def test_a_base_that_writes_junk_gives_no_pair(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("The annual fee of the gold card is 20 euros.")
    home = save_tiny(tmp_path / "base", max_position_embeddings=2048)
    spec = parse_distil(
        {
            "teacher": {"base": str(home), "max_tokens": 8},
            "questions": {"fact": 1},
            "chunks": {"unit": "tokens", "tokenizer": str(home)},
        }
    )
    done = distil_documents(tmp_path / "in", tmp_path / "out", spec)
    assert done.pairs.rows == {"pairs": 0, "rejected": 2}
    assert done.bill.calls["answered"] == 2
