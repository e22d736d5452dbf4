"""What the teacher is told, by language; the words lie in the YAML files beside this one."""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml

from pretune.core.digest import of_json
from pretune.data.teacher.forms import filled, marks_of, repeats
from pretune.data.terms import folded, scripts
from pretune.spec.distil import QuestionType

LANGUAGES = ("en", "zh")
_MARKING = 30
"""Characters of a line of ours that no answer repeats by chance; half as many Chinese ones."""

_CHINESE = 0.2
"""Share of Chinese among the letters of a text from which it is asked about in Chinese."""


class Prompts:
    """The prompts of one language."""

    def __init__(self, language: str) -> None:
        file = resources.files(__name__) / f"{language}.yaml"
        self._words: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
        least = _MARKING // 2 if language == "zh" else _MARKING
        self._marks = marks_of((self._words["ask"], self._words["ask_unanswerable"]), least)

    @property
    def digest(self) -> str:
        """Digest of all the words."""
        return of_json(self._words)

    @property
    def nowhere(self) -> str:
        """The answer to a question that the documents do not answer."""
        return str(self._words["nowhere"])

    def ask(
        self,
        kind: QuestionType,
        count: int,
        headings: Sequence[str],
        text: str,
        asked: Sequence[str],
    ) -> tuple[str, str]:
        """System and user prompt for ``count`` questions about ``text``, other than ``asked``."""
        words = self._words
        form = "ask_unanswerable" if kind is QuestionType.UNANSWERABLE else "ask"
        before = "".join(f"\n  - {question}" for question in asked)
        values = {
            "count": str(count),
            "kind": words["kinds"][kind],
            "nowhere": self.nowhere,
            "asked": words["asked"] + before if asked else "",
            "headings": " > ".join(headings),
            "text": text,
        }
        return words["system"], filled(words[form], values)

    def ask_again(self, question: str, texts: Sequence[str]) -> tuple[str, str]:
        """System and user prompt for an answer to ``question`` from ``texts`` alone."""
        values = {"question": question, "texts": "\n\n".join(texts), "nowhere": self.nowhere}
        return self._words["again_system"], filled(self._words["again"], values)

    def copied(self, text: str) -> bool:
        """Whether ``text`` repeats a line of ours."""
        return repeats(text, self._marks)

    def refers(self, question: str) -> bool:
        """Whether ``question`` points at a text that its reader does not see."""
        given = f" {folded(question)} "
        return any(
            (phrase if phrase >= "\u3000" else f" {phrase}") in given
            for phrase in self._words["refers"]
        )


@cache
def prompts_in(language: str) -> Prompts:
    """The prompts of ``language``."""
    return Prompts(language)


def prompts_for(text: str) -> Prompts:
    """The prompts in the language of ``text``: Chinese, else English."""
    return prompts_in("zh" if scripts(text).get("CJK", 0) >= _CHINESE else "en")
