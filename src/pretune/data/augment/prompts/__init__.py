"""What those who reword are told; the words lie in the YAML file beside this one."""

import re
from functools import cache
from importlib import resources
from random import Random
from typing import Any

import yaml

from pretune.core.digest import of_json
from pretune.data.augment.refusal import Fault, Refused
from pretune.data.probes import mostly_han
from pretune.data.teacher.forms import filled, marks_of, repeats

_NEW = re.compile(r"<new>(.*)</new>", re.DOTALL)
_MARKING = 30
"""Characters of a line of ours that no text repeats by chance; half as many Chinese ones."""


@cache
def _words() -> dict[str, Any]:
    text = (resources.files(__name__) / "rewriting.yaml").read_text("utf-8")
    words: dict[str, Any] = yaml.safe_load(text)
    return words


@cache
def _marks() -> frozenset[str]:
    words = _words()
    english = (words["paraphrase"]["en"]["form"], words["translation"]["form"])
    chinese = (words["paraphrase"]["zh"]["form"],)
    return frozenset(marks_of(english, _MARKING) | marks_of(chinese, _MARKING // 2))


def digest() -> str:
    """Digest of all the words."""
    return of_json(_words())


def paraphrase(text: str, rng: Random) -> tuple[str, str]:
    """System and user prompt for ``text`` in other words; ``rng`` draws the manner."""
    words = _words()["paraphrase"]["zh" if mostly_han([text]) else "en"]
    values = {"manner": rng.choice(words["manners"]), "text": text}
    return words["system"], filled(words["form"], values)


def translation(text: str, language: str) -> tuple[str, str]:
    """System and user prompt for ``text`` in ``language``."""
    words = _words()["translation"]
    return words["system"], filled(words["form"], {"language": language, "text": text})


def read(text: str) -> str:
    """The new text in a reply.

    Raises:
        Refused: the reply has another form, or gives the prompt back.
    """
    if repeats(text, _marks()):
        raise Refused(Fault.COPIED, text)
    found = _NEW.search(text)
    if found is None or not found[1].strip():
        raise Refused(Fault.FORM, text)
    return found[1].strip()
