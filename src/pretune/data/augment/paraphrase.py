"""Paraphrase: a teacher says it in other words."""

from random import Random

from pretune.data.augment import prompts
from pretune.data.augment.rewriter import Rewriter, Rewritten


class Paraphrase(Rewriter):
    """Asks for other words, in a manner that is drawn for each variant."""

    name = "paraphrase"
    changes = "what the user says, in a teacher's words"
    not_for = (
        "labels that hang on the choice of words, style, mood, dialect or spelling",
        "answers that quote the text beyond names, numbers and annotated words",
        "texts that must keep a form: logs, code, tables, forms, contracts",
        "text that may not be shown to the teacher, unless it is masked",
    )

    def rewrite(self, text: str, rng: Random) -> Rewritten:
        """``text`` in other words."""
        return Rewritten(prompts.read(self._asking.ask(*prompts.paraphrase(text, rng), rng)))
