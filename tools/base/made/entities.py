"""Sentences about invented people, places and organisations, and the list of their entities."""

from __future__ import annotations

import random

from made.exercise import Exercise
from made.names import company, company_zh, person, person_zh, place_name, place_zh

FORMS = [
    "{p} joined {o} in {l}.", "{o} opened an office in {l}, said {p}.", "{p} and {p2} met in {l}.",
    "{o} named {p} as its new chairman.", "{p}, who was born in {l}, leads {o}.",
    "This Agreement is made between {o} and {p}.", "{o} will buy {o2}.", "{p} moved from {l} to {l2}.",
    "The loan was given by {o}, a bank based in {l}, to {o2}.", "On Monday {p} left {l}.",
    "Nothing was announced.", "The contract between {o} and {o2} is governed by the laws of {l}.",
    "Shares of {o} rose after {p} resigned.", "{p2} wrote to {p} about {o}.", "The road to {l} is closed.",
]  # fmt: skip
FORMS_ZH = [
    "{p}加入了{l}的{o}。", "{o}在{l}设立办事处，负责人是{p}。", "{p}和{p2}在{l}见面。", "{p}出生于{l}，现任{o}主任。",
    "{o}任命{p}为新任总经理。", "{o}宣布收购{o2}。", "昨天{p}从{l}飞往{l2}。", "今天没有消息。", "记者{p}{l}报道。",
    "{o}与{o2}签订了合同。", "据{o}介绍，{p}已离开{l}。",
]  # fmt: skip
STYLES = [("PER", "LOC", "ORG"), ("PER", "LOC", "ORG"), ("Person", "Location", "Organization"),
          ("people", "places", "companies")]  # fmt: skip
STYLES_ZH = [("人名", "地名", "机构名"), ("PER", "LOC", "ORG")]


def sentence(rng: random.Random, chinese: bool) -> tuple[str, list[tuple[str, int]]]:
    """One to three sentences and their entities (text, kind 0 person, 1 place, 2 organisation)."""
    someone, somewhere, firm = (person_zh, place_zh, company_zh) if chinese else (person, place_name, company)
    parts, found = [], []
    for _ in range(rng.choice([1, 1, 2, 3])):
        form = rng.choice(FORMS_ZH if chinese else FORMS)
        slots = {"p": someone(rng), "p2": someone(rng), "l": somewhere(rng), "l2": somewhere(rng),
                 "o": firm(rng), "o2": firm(rng)}  # fmt: skip
        places = sorted((form.index("{" + name + "}"), name) for name in slots if "{" + name + "}" in form)
        found += [(slots[name], "plo".index(name[0])) for _, name in places]
        parts.append(form.format(**slots))
    return ("" if chinese else " ").join(parts), list(dict.fromkeys(found))


def list_entities(rng: random.Random) -> Exercise:
    """All entities, grouped by kind or in order."""
    chinese = rng.random() < 0.45
    kinds = rng.choice(STYLES_ZH if chinese else STYLES)
    grouped = rng.random() < 0.7
    pairs = []
    for _ in range(rng.choice([1, 1, 2])):
        text, found = sentence(rng, chinese)
        if grouped:
            by_kind = [(kinds[kind], [name for name, k in found if k == kind]) for kind in range(3)]
            answer = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in by_kind if names)
        else:
            answer = "; ".join(f"{name} ({kinds[kind]})" for name, kind in found)
        pairs.append((text, answer or ("无" if chinese else "none")))
    instruction = (
        rng.choice(["列出文中的人名、地名和机构名。", "抽取实体。", "命名实体识别："])
        if chinese
        else rng.choice(["List the entities.", "Extract people, places and organisations.",
                         "Find the named entities.", "Named entity recognition."])  # fmt: skip
    )
    if not grouped:
        instruction += "按出现顺序，注明类型。" if chinese else " In order, with the kind in brackets."
    return Exercise(instruction, pairs)


def one_kind(rng: random.Random) -> Exercise:
    """Entities of one kind only."""
    chinese = rng.random() < 0.45
    kind = rng.randrange(3)
    text, found = sentence(rng, chinese)
    names = [name for name, each in found if each == kind]
    if chinese:
        return Exercise(f"找出所有{STYLES_ZH[0][kind]}。", [(text, "、".join(names) or "无")])
    asked = ["Who is mentioned?", "Which places are mentioned?", "Which organisations are mentioned?"]
    return Exercise(asked[kind], [(text, ", ".join(names) or "none")])


RELATIONS = [
    ("{p} is the chief executive of {o}.", "works for"), ("{p} was born in {l}.", "born in"),
    ("{o} has its head office in {l}.", "based in"), ("{p} is married to {p2}.", "spouse"),
    ("{o} took over {o2}.", "acquired"), ("{p} founded {o}.", "founder of"),
    ("{o} holds shares in {o2}.", "owns shares of"), ("{o} competes with {o2}.", "competitor"),
    ("{p} lives in {l}.", "lives in"), ("{o} supplies parts to {o2}.", "supplier of"),
]  # fmt: skip
RELATIONS_ZH = [
    ("{p}是{o}的总经理。", "任职"), ("{p}出生在{l}。", "出生地"), ("{o}总部位于{l}。", "总部"), ("{o}收购了{o2}。", "收购"),
    ("{p}创办了{o}。", "创始人"), ("{o}持有{o2}的股份。", "持股"), ("{o}与{o2}展开合作。", "合作"), ("{p}与{p2}是夫妻。", "夫妻"),
    ("{o}起诉{o2}。", "诉讼"), ("{o}是{o2}的子公司。", "子公司"),
]  # fmt: skip


def relation(rng: random.Random) -> Exercise:
    """The relation between the two entities of a sentence."""
    chinese = rng.random() < 0.5
    form, label = rng.choice(RELATIONS_ZH if chinese else RELATIONS)
    someone, somewhere, firm = (person_zh, place_zh, company_zh) if chinese else (person, place_name, company)
    slots = {"p": someone(rng), "p2": someone(rng), "l": somewhere(rng), "o": firm(rng), "o2": firm(rng)}
    names = [name for _, name in sorted((form.index("{" + n + "}"), n) for n in slots if "{" + n + "}" in form)]
    text, (head, tail) = form.format(**slots), (slots[name] for name in names)
    if chinese:
        return Exercise("两个实体是什么关系？", [(f"{text}\n头：{head}\n尾：{tail}", label)])
    return Exercise("How are the two entities related?", [(f"{text}\nhead: {head}\ntail: {tail}", label)])


MAKERS = [(list_entities, 5), (one_kind, 2), (relation, 2)]
