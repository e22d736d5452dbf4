"""Entity F1 of answers that list entities, such as ``PER: A, B; ORG: C``."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from pretune.core.records import Prediction
from pretune.evaluation.metrics.metric import Array, Metric, f1, need_references, register
from pretune.evaluation.metrics.text import normalise

_NONE = frozenset({"", "无", "没有", "none", "no entities"})
_GROUP = re.compile(r"[;；\n]")
_LISTED = re.compile(r"[,，、]")
_COLON = re.compile(r"[:：]")

Entity = tuple[str, str]
"""Type and text, both in normal form."""

UNTYPED = "?"
"""Type of an entity that an answer names without one: it can never be right."""


def parse_entities(text: str) -> Counter[Entity]:
    """Entities in ``text``, with how often each is listed.

    Groups stand between semicolons or line breaks, each ``TYPE: text, text``; full-width marks
    count too. "none" and "无" mean no entity. Text that follows no type is kept as an entity of
    type "?", so that a broken answer costs precision. An entity that holds a comma is read as two,
    in the answer as in the reference.

    >>> sorted(parse_entities("PER: Ann, Bo; ORG：小米"))
    [('org', '小米'), ('per', 'ann'), ('per', 'bo')]
    """
    found: Counter[Entity] = Counter()
    for group in _GROUP.split(text):
        if normalise(group) in _NONE:
            continue
        head, *rest = _COLON.split(group, maxsplit=1)
        kind, listed = (normalise(head) or UNTYPED, rest[0]) if rest else (UNTYPED, group)
        texts = (normalise(one) for one in _LISTED.split(listed))
        found.update((kind, one) for one in texts if one not in _NONE)
    return found


@register
class EntityF1(Metric):
    """Micro F1 of (type, text) pairs, against the first reference of each row.

    An answer lists entities and not where they stand, so rows are compared as multisets: an entity
    mentioned twice has to be listed twice. The value is seqeval's ``f1_score`` on tags that give
    each listed mention one token (:func:`entity_tags`), up to rounding.
    """

    name = "entity_f1"

    def statistics(self, predictions: Sequence[Prediction]) -> Array:
        """Hit, listed, right; shape (rows, 3)."""
        need_references(predictions, self.name)
        rows = []
        for one in predictions:
            right, listed = parse_entities(one.references[0]), parse_entities(one.text)
            rows.append([(right & listed).total(), listed.total(), right.total()])
        return np.asarray(rows, float)

    def value(self, totals: Array) -> Array:
        """F1 of the counts; 1 where nothing was to be found and nothing was listed."""
        hits, listed, right = totals[..., 0], totals[..., 1], totals[..., 2]
        return np.where(listed + right > 0, f1(hits, listed, right), 1.0)


def entity_tags(prediction: Prediction) -> tuple[list[str], list[str]]:
    """BIO tags of what was right and of what was listed, for seqeval.

    Both run over the same made-up tokens: one for each mention of an entity in either list.
    """
    right, listed = parse_entities(prediction.references[0]), parse_entities(prediction.text)
    right_tags: list[str] = []
    listed_tags: list[str] = []
    for (kind, text), mentions in sorted((right | listed).items()):
        for mention in range(mentions):
            for tags, entities in ((right_tags, right), (listed_tags, listed)):
                tags.append(f"B-{kind}" if mention < entities[kind, text] else "O")
    return right_tags, listed_tags
