"""A server for a while: it answers what is asked at once, and is gone when the block ends."""

import pytest

from pretune.api.served import serving
from pretune.core.errors import PretuneError


def test_questions_of_several_tasks_are_answered_and_the_server_ends(run, task):
    assert run("train", "desk.yaml", "--out", "runs/desk").code == 0
    asked = [("desk", {"text": "pin lost", "label": "card"}), ("desk", {"text": "rate asked"})]
    with serving([task.parent / "runs"]) as server:
        replies = server.ask(asked)
    assert [reply.task for reply in replies] == ["desk", "desk"]
    assert all(reply.text in ("card", "loan") for reply in replies)
    assert not server.ready()


def test_a_server_that_does_not_start_says_why(tmp_path):
    with pytest.raises(PretuneError, match="no finished run"), serving([tmp_path]):
        pass
