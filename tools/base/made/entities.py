"""Sentences about invented people, places and organisations; their entities and relations."""

from __future__ import annotations

import random

from made.exercise import Exercise, asked, tongue
from made.grammar import SLOT
from made.names import CHINESE, ENGLISH
from made.words import columns, phrases

KINDS = "plo"  # person, place (location), organisation: the letters of the slots
STYLES = {
    False: [("PER", "LOC", "ORG"), ("Person", "Location", "Organization"),
            ("people", "places", "companies")],
    True: [("人名", "地名", "机构名"), ("PER", "LOC", "ORG")],
}  # fmt: skip
ASKED = {
    False: [
        "Who is mentioned?",
        "Which places are mentioned?",
        "Which organisations are mentioned?",
    ],
    True: ["找出所有人名。", "找出所有地名。", "找出所有机构名。"],
}

Found = list[tuple[str, int]]


def filled(rng: random.Random, form: str, chinese: bool) -> tuple[str, Found]:
    """A sentence and its entities in order: (text, index into `KINDS`)."""
    slots = (CHINESE if chinese else ENGLISH).slots(rng)
    found = [(slots[name], KINDS.index(name[0])) for name in SLOT.findall(form)]
    return form.format(**slots), found


def sentences(rng: random.Random, chinese: bool) -> tuple[str, Found]:
    """One to three sentences and their entities."""
    forms = phrases("entity_sentences")[tongue(chinese)]
    parts = [filled(rng, rng.choice(forms), chinese) for _ in range(rng.choice([1, 1, 2, 3]))]
    text = ("" if chinese else " ").join(text for text, _ in parts)
    return text, list(dict.fromkeys(entity for _, found in parts for entity in found))


def grouped(found: Found, kinds: tuple[str, ...]) -> str:
    """`PER: a, b; ORG: c`."""
    groups = {kind: [name for name, k in found if kinds[k] == kind] for kind in kinds}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in groups.items() if names)


def list_entities(rng: random.Random) -> Exercise:
    """All entities, grouped by kind or in order."""
    chinese = rng.random() < 0.45
    kinds = rng.choice(STYLES[chinese])
    instruction = asked(rng, f"entities.{tongue(chinese)}")
    in_order = rng.random() < 0.3
    if in_order:
        instruction += (
            "按出现顺序，注明类型。" if chinese else " In order, with the kind in brackets."
        )
    pairs = []
    for _ in range(rng.choice([1, 1, 2])):
        text, found = sentences(rng, chinese)
        answer = grouped(found, kinds)
        if in_order:
            answer = "; ".join(f"{name} ({kinds[kind]})" for name, kind in found)
        pairs.append((text, answer or ("无" if chinese else "none")))
    return Exercise(instruction, pairs)


def one_kind(rng: random.Random) -> Exercise:
    """Entities of one kind only."""
    chinese = rng.random() < 0.45
    kind = rng.randrange(len(KINDS))
    text, found = sentences(rng, chinese)
    names = [name for name, each in found if each == kind]
    answer = ("、" if chinese else ", ").join(names) or ("无" if chinese else "none")
    return Exercise(ASKED[chinese][kind], [(text, answer)])


def relation(rng: random.Random) -> Exercise:
    """The relation between the two entities of a sentence."""
    chinese = rng.random() < 0.5
    form, label = rng.choice(columns(f"relations_{tongue(chinese)}"))
    text, ((head, _), (tail, _)) = filled(rng, form, chinese)
    layout = "{}\n头：{}\n尾：{}" if chinese else "{}\nhead: {}\ntail: {}"
    return Exercise(
        asked(rng, f"relation.{tongue(chinese)}"), [(layout.format(text, head, tail), label)]
    )


MAKERS = [(list_entities, 5), (one_kind, 2), (relation, 2)]
