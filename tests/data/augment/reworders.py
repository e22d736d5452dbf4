"""A teacher by rule that says sentences of two forms otherwise, through Chinese or directly."""

import json
import re
from typing import Any

TEXT = re.compile(r"<text>\n(.*)\n\s*</text>", re.DOTALL)
_LOST = re.compile(r"Please help me, my (\w+) (\d+) was (\w+) in (\w+)\.")
_ZH = re.compile(r"请帮我，(\w+) 编号(\d+)在 (\w+) 出事 (\w+)。")


def task_rows(count: int = 40) -> list[dict[str, Any]]:
    """Rows of two labels whose words differ."""
    things = {"card": ("card", "lost"), "loan": ("mortgage", "refused")}
    places = ("Oslo", "Rome", "Paris", "London", "Delhi")
    return [
        {"text": f"Please help me, my {thing} {100 + n} was {what} in {places[n % 5]}.",
         "label": label}
        for n in range(count)
        for label, (thing, what) in [list(things.items())[n % 2]]
    ]  # fmt: skip


def reworded(body: dict[str, Any]) -> str:
    """What ``body`` asks for."""
    prompt = body["messages"][1]["content"]
    text = TEXT.search(prompt)[1]  # type: ignore[index]
    if "into Chinese" in prompt:
        thing, number, what, place = _LOST.search(text).groups()  # type: ignore[union-attr]
        return f"<new>请帮我，{thing} 编号{number}在 {place} 出事 {what}。</new>"
    if "into English" in prompt:
        thing, number, place, what = _ZH.search(text).groups()  # type: ignore[union-attr]
        return f"<new>I need help: it was in {place} that my {thing} {number} was {what}.</new>"
    found = _LOST.search(text)
    if found is None:
        return f"<new>Would you do me the favour? {text[:-1]}, that is what I wish.</new>"
    thing, number, what, place = found.groups()
    start = f"Someone should assist with the {thing} {number} that is {what}"
    end = ("", ", now", ", at once")[body["seed"] % 3]
    return f"Sure!\n<new>{start} since I was in {place}{end}.</new>"


def good(body: dict[str, Any], number: int) -> dict[str, Any]:
    """For :class:`data.teacher.scripted.Scripted`."""
    return {"text": reworded(body)}


def sent(bodies: list[dict[str, Any]]) -> str:
    """All that an endpoint was sent."""
    return json.dumps(bodies, ensure_ascii=False)
