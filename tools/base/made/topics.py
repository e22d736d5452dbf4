"""Topic of a sentence, from nouns that belong to it."""

from __future__ import annotations

import random

from made.exercise import Exercise, capital, repeats, with_labels
from made.names import company, company_zh, person, place_name, place_zh
from made.words import columns

FORMS_EN = [
    "{0} was the talk of the day in {place}", "{who} spoke about {0} and {1}",
    "new figures on {0} surprised {company}", "{0} and {1} made the news this week",
    "what you should know about {0}", "{company} changes its plans for {0}",
    "after years of work, {who} is done with {0}", "why {0} matters more than {1}",
    "{place}: {0} delayed because of {1}", "how {0} changed everything", "experts warn about {0}",
    "{who} wants better rules for {0}", "the story behind {0}", "a first look at {0}",
    "{0} returns to {place}", "questions and answers about {0}",
]  # fmt: skip
FORMS_ZH = ["{0}成为今天的热点", "{place}的{0}和{1}引发关注", "关于{0}你需要知道的几件事", "{0}为何比{1}更重要",
            "{company}宣布{0}新计划", "专家谈{0}", "{0}最新消息：{1}有变化", "{place}{0}迎来新机会",
            "{0}背后的故事", "{0}怎么选？", "今年{0}有哪些变化"]  # fmt: skip
INSTRUCTIONS_EN = ["What is the topic?", "Classify the headline by topic.", "Topic:", "News category?",
                   "Which section does this belong to?", "You sort news by subject."]  # fmt: skip
INSTRUCTIONS_ZH = ["这条新闻属于什么类别？", "新闻分类：", "判断文本主题。", "这是哪个频道的新闻？"]


def headline(rng: random.Random, nouns: list[str], chinese: bool) -> str:
    """A headline that mentions one or two of a topic's nouns."""
    first, second = rng.sample(nouns, 2)
    form = rng.choice(FORMS_ZH if chinese else FORMS_EN)
    if chinese:
        return form.format(first, second, place=place_zh(rng), company=company_zh(rng))
    text = form.format(
        first, second, place=place_name(rng), who=person(rng), company=company(rng)
    )
    return capital(text) if rng.random() < 0.8 else text.lower()


def label_topics(rng: random.Random) -> Exercise:
    """Topic of headlines; the labels on offer change from row to row."""
    chinese = rng.random() < 0.35
    rows = columns("topics_zh" if chinese else "topics_en")
    known = {row[0]: [part.strip() for part in row[1].split(",")] for row in rows}
    labels = rng.sample(list(known), rng.randint(3, 8)) if rng.random() < 0.5 else list(known)
    instruction = rng.choice(INSTRUCTIONS_ZH if chinese else INSTRUCTIONS_EN)
    if len(labels) < len(known):
        instruction = with_labels(rng, instruction, labels, chinese)
    chosen = [rng.choice(labels) for _ in range(repeats(rng))]
    return Exercise(instruction, [(headline(rng, known[each], chinese), each) for each in chosen])


MAKERS = [(label_topics, 1)]
