"""Back translation: to another language and back (Sennrich et al. 2016, arXiv 1511.06709, whose
idea is that of the way back; as augmentation e.g. Xie et al. 2020, arXiv 1904.12848)."""

from random import Random

from pretune.data.augment import prompts
from pretune.data.augment.refusal import Fault, Refused
from pretune.data.augment.rewriter import Rewriter, Rewritten
from pretune.data.probes import mostly_han
from pretune.data.terms import folded

FORWARD, BACK = "forward", "back"
"""What local translators are told in the place of a prompt."""


class BackTranslation(Rewriter):
    """Asks for a translation into a pivot language, then for one of that back."""

    name = "back_translation"
    changes = "what the user says, translated to another language and back"
    not_for = (
        "labels that hang on style, mood, politeness, slang or spelling, which translation levels",
        "answers that quote the text beyond names, numbers and annotated words",
        "texts with terms of a trade that the translator does not know; logs, code and tables",
        "text that may not be shown to the teacher, unless it is masked",
    )

    def rewrite(self, text: str, rng: Random) -> Rewritten:
        """``text`` there and back."""
        chinese, spec = mostly_han([text]), self._asking.spec
        pivot = rng.choice(spec.pivots or (("English",) if chinese else ("Chinese",)))
        own = spec.language or ("Chinese" if chinese else "English")
        there = self._translated(text, FORWARD, pivot, rng)
        if folded(there) == folded(text):
            raise Refused(Fault.UNTRANSLATED, there)
        return Rewritten(self._translated(there, BACK, own, rng), there)

    def _translated(self, text: str, way: str, language: str, rng: Random) -> str:
        if self._asking.spec.translators is not None:
            return self._asking.ask(way, text, rng).strip()
        return prompts.read(self._asking.ask(*prompts.translation(text, language), rng))
