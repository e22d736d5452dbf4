"""Reviews in Chinese from a grammar of opinions."""

from __future__ import annotations

import random

from made.exercise import Exercise, repeats, with_labels
from made.words import sections

POSITIVE, NEGATIVE, NEUTRAL = "+", "-", "="
OPPOSITE = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE}
DOMAINS = ["hotel", "hotel", "food", "film", "software", "product", "service"]
VOCABULARIES = [
    {POSITIVE: "正面", NEGATIVE: "负面", NEUTRAL: "中性"},
    {POSITIVE: "积极", NEGATIVE: "消极", NEUTRAL: "中立"},
    {POSITIVE: "好评", NEGATIVE: "差评", NEUTRAL: "中评"},
    {POSITIVE: "满意", NEGATIVE: "不满意", NEUTRAL: "一般"},
    {POSITIVE: "positive", NEGATIVE: "negative", NEUTRAL: "neutral"},
]
INSTRUCTIONS = ["判断评论的情感。", "这条评论是好评还是差评？", "情感分类：", "作者的态度是什么？",
                "请判断下面文本的情感倾向。", "你负责给用户评价分类。", "顾客满意吗？",
                "What is the sentiment of this Chinese review?"]  # fmt: skip


def pick(rng: random.Random, section: str) -> str:
    """A word of a section of the opinion list."""
    return rng.choice(sections("opinion_zh")[section])


def judged(rng: random.Random, pole: str) -> str:
    """An adjective with or without a degree word."""
    word = pick(rng, f"adj{pole}")
    if len(word) <= 2 and word[0] not in "很不太极":
        return pick(rng, rng.choice(["degree+", "degree+", "degree-"])) + word
    return word


def clause(rng: random.Random, pole: str, domain: str) -> str:
    """A clause with the polarity `pole`."""
    thing, part = pick(rng, f"{domain}.thing"), pick(rng, f"{domain}.part")
    if pole == NEUTRAL:
        return rng.choice([pick(rng, "reaction="), f"{part}是{pick(rng, 'adj=')}的",
                           f"这是一家{pick(rng, 'adj=')}的{thing}", f"{part}{pick(rng, 'adj=')}"])  # fmt: skip
    other = OPPOSITE[pole]
    forms = [
        f"{part}{judged(rng, pole)}",
        f"{part}{judged(rng, pole)}",
        f"{part}{judged(rng, pole)}，{pick(rng, f'{domain}.part')}也{judged(rng, pole)}",
        f"这{rng.choice(['个', '家', '次的'])}{thing}{judged(rng, pole)}",
        f"{part}又{pick(rng, f'adj{pole}')}又{pick(rng, f'adj{pole}')}",
        f"{pick(rng, f'adj{pole}')}的{part}",
        f"感觉{judged(rng, pole)}",
        f"总体来说{judged(rng, pole)}",
        pick(rng, f"reaction{pole}"),
        pick(rng, f"reaction{pole}"),
        f"一点也不{pick(rng, f'adj{other}')}" if pole == POSITIVE else f"{part}谈不上{pick(rng, 'adj+')}",
        f"{part}没有想象中那么{pick(rng, f'adj{other}')}",
        f"没想到{part}这么{pick(rng, f'adj{pole}')}",
        f"从来没见过这么{pick(rng, f'adj{pole}')}的{thing}",
    ]
    return rng.choice(forms)


def review(rng: random.Random, pole: str, domain: str) -> str:
    """A review of one to four clauses."""
    if pole != NEUTRAL and rng.random() < 0.25:
        side, main = clause(rng, OPPOSITE[pole], domain), clause(rng, pole, domain)
        text = rng.choice([f"虽然{side}，但是{main}", f"{side}，不过{main}", f"{side}，可是{main}",
                           f"尽管{side}，{main}"])  # fmt: skip
    else:
        count = rng.choice([1, 2, 2, 3, 4])
        text = "，".join(clause(rng, pole, domain) for _ in range(count))
    if rng.random() < 0.3:
        text += rng.choice(["。", "！"]) + pick(rng, f"reaction{pole}")
    return text + rng.choice(["。", "！", "", "~", "。。。"])


def label_reviews(rng: random.Random) -> Exercise:
    """Two- or three-way sentiment."""
    poles = rng.choice(["+-", "+-", "+-="])
    words = rng.choice(VOCABULARIES)
    instruction = with_labels(rng, rng.choice(INSTRUCTIONS), [words[p] for p in poles], chinese=True)
    domain = rng.choice(DOMAINS)
    chosen = [rng.choice(poles) for _ in range(repeats(rng))]
    return Exercise(instruction, [(review(rng, pole, domain), words[pole]) for pole in chosen])


def label_words(rng: random.Random) -> Exercise:
    """Polarity of single words."""
    words = rng.choice(VOCABULARIES[:3])
    chosen = [rng.choice("+-") for _ in range(rng.choice([3, 5, 8]))]
    return Exercise("这个词是褒义还是贬义？", [(pick(rng, f"adj{pole}"), words[pole]) for pole in chosen])


MAKERS = [(label_reviews, 6), (label_words, 1)]
