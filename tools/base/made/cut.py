"""Tasks cut from the corpus itself: titles, kinds of text, order, gaps, copying, translation."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from corpus import read_texts

from made.exercise import Exercise, asked, tongue, with_labels

PASSAGES_PER_SOURCE = 4000
KINDS = {
    "en_textbooks": "textbook", "en_gov_guidance": "government guidance",
    "en_open_tech_articles": "technical article", "en_erp_business_help": "software help",
    "en_novels_eltec": "novel", "en_public_domain_speech": "speech",
    "en_service_dialogues": "dialogue", "zh_everyday": "生活", "zh_dialogues": "对话",
    "zh_open_tech_articles": "技术文章", "zh_erp_business_help": "软件帮助", "zh_laws": "法律",
    "zh_tidb_docs": "数据库文档",
}  # fmt: skip
TITLED = ("en_textbooks", "en_open_tech_articles", "en_erp_business_help", "zh_everyday",
          "zh_open_tech_articles", "zh_erp_business_help", "zh_laws", "zh_tidb_docs")  # fmt: skip
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])|(?<=[。！？])")
HAN = re.compile(r"[\u4e00-\u9fff]")
NUMBER = re.compile(r"\d[\d,.]*\d|\d")
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")


@dataclass(frozen=True)
class Passage:
    """A few sentences of one document, with the document's title where it has one."""

    source: str
    title: str
    sentences: list[str]

    @property
    def chinese(self) -> bool:
        """Whether the passage is Chinese."""
        return self.source.startswith("zh")

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return ("" if self.chinese else " ").join(self.sentences)


def passages_of(source: str, text: str) -> list[Passage]:
    """The paragraphs of a document that have two sentences or more and are not too long."""
    blocks = [block.strip() for block in text.split("\n") if block.strip()]
    title = blocks[0].lstrip("# ") if source in TITLED and len(blocks[0]) < 90 else ""
    found = []
    for block in blocks[1:] if title else blocks:
        if re.match(r"(\d+[.、]|[-*#|])", block) or not 60 < len(block) < 900:
            continue
        sentences = [part.strip() for part in SENTENCE.split(block) if part.strip()]
        if len(sentences) >= 2:
            found.append(Passage(source, title, sentences[:5]))
    return found


class Library:
    """Passages and sentence pairs of the corpus, read once when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def passages(self) -> list[Passage]:
        """Up to `PASSAGES_PER_SOURCE` of each source, in a fixed random order."""
        chosen: list[Passage] = []
        for source in KINDS:
            found: list[Passage] = []
            for text in read_texts(self.folder, source):
                found += passages_of(source, text)[:8]
            random.Random(source).shuffle(found)
            chosen += found[:PASSAGES_PER_SOURCE]
        return chosen

    @cached_property
    def translations(self) -> list[tuple[str, str]]:
        """English and Chinese sentences of Tatoeba."""
        pairs = []
        for text in read_texts(self.folder, "enzh_tatoeba"):
            lines = text.split("\n")
            neighbours = pairwise(lines)
            pairs += [(a, b) for a, b in neighbours if not HAN.search(a) and HAN.search(b)]
        return pairs


def choose(rng: random.Random, library: Library, fits: Callable[[Passage], bool]) -> Passage:
    """A random passage that fits."""
    while True:
        passage = rng.choice(library.passages)
        if fits(passage):
            return passage


def say(rng: random.Random, passage: Passage, kind: str) -> str:
    """An instruction in the passage's language, sometimes in English for Chinese text."""
    return asked(rng, f"{kind}.{tongue(passage.chinese and rng.random() < 0.8)}")


def title(rng: random.Random, library: Library) -> Exercise:
    """The title of the document a passage stands in."""
    passage = choose(rng, library, lambda p: bool(p.title))
    ask = say(rng, passage, "title")
    return Exercise(ask, [(passage.text, passage.title)])


def kind_of_text(rng: random.Random, library: Library) -> Exercise:
    """Textbook, novel, law, help, ..."""
    chosen = choose(rng, library, lambda p: True)
    labels = [label for source, label in KINDS.items() if source.startswith("zh") == chosen.chinese]
    ask = say(rng, chosen, "kind")
    ask = with_labels(rng, ask, labels, chosen.chinese)
    same = [chosen, *(choose(rng, library, lambda p: p.chinese == chosen.chinese)
                      for _ in range(rng.choice([0, 0, 1, 2])))]  # fmt: skip
    return Exercise(ask, [(rng.choice(p.sentences), KINDS[p.source]) for p in same])


def language(rng: random.Random, library: Library) -> Exercise:
    """English or Chinese."""
    passage = choose(rng, library, lambda p: True)
    answer = "Chinese" if passage.chinese else "English"
    return Exercise("Which language is this?", [(rng.choice(passage.sentences), answer)])


def next_sentence(rng: random.Random, library: Library) -> Exercise:
    """Which of two sentences comes next."""
    passage = choose(rng, library, lambda p: len(p.sentences) >= 3)
    other = choose(rng, library, lambda p: p.source == passage.source and p is not passage)
    right, wrong = passage.sentences[2], rng.choice(other.sentences)
    answer = rng.choice("AB")
    first, second = (right, wrong) if answer == "A" else (wrong, right)
    start = ("" if passage.chinese else " ").join(passage.sentences[:2])
    ask = "下一句是A还是B？" if passage.chinese else "Which sentence comes next, A or B?"
    return Exercise(ask, [(f"{start}\nA: {first}\nB: {second}", answer)])


def does_follow(rng: random.Random, library: Library) -> Exercise:
    """Whether the second sentence follows the first in its text."""
    passage = choose(rng, library, lambda p: True)
    other = choose(rng, library, lambda p: p.source == passage.source and p is not passage)
    follows = rng.random() < 0.5
    second = passage.sentences[1] if follows else rng.choice(other.sentences)
    yes, no = ("是", "否") if passage.chinese else ("yes", "no")
    ask = say(rng, passage, "follow")
    return Exercise(ask, [(f"1: {passage.sentences[0]}\n2: {second}", yes if follows else no)])


def missing_word(rng: random.Random, library: Library) -> Exercise:
    """A word taken out of a passage."""
    passage = choose(rng, library, lambda p: not p.chinese)
    word = rng.choice(re.findall(r"\b[a-z]{4,}\b", passage.text) or ["the"])
    shown = re.sub(rf"\b{word}\b", "____", passage.text, count=1)
    return Exercise(asked(rng, "gap"), [(shown, word)])


def extract(rng: random.Random, library: Library) -> Exercise:
    """Numbers or capitalised names of a passage, in order."""
    if rng.random() < 0.5:
        passage = choose(rng, library, lambda p: bool(NUMBER.search(p.text)))
        found = NUMBER.findall(passage.text)
        ask = say(rng, passage, "numbers")
    else:
        passage = choose(rng, library, lambda p: not p.chinese and bool(NAME.search(p.text)))
        found = NAME.findall(passage.text)
        ask = asked(rng, "names")
    return Exercise(ask, [(passage.text, ", ".join(dict.fromkeys(found)))])


def first_sentence(rng: random.Random, library: Library) -> Exercise:
    """Shorten a passage to its first sentence, which in help and textbooks says the most."""
    passage = choose(rng, library, lambda p: len(p.sentences) >= 3 and len(p.sentences[0]) < 200)
    ask = say(rng, passage, "shorten")
    return Exercise(ask, [(passage.text, passage.sentences[0])])


def find_sentence(rng: random.Random, library: Library) -> Exercise:
    """Copy the sentence that holds a given phrase."""
    passage = choose(rng, library, lambda p: len(p.sentences) >= 3)
    sentence = rng.choice(passage.sentences)
    if passage.chinese:
        start = rng.randrange(max(1, len(sentence) - 5))
        phrase, ask = sentence[start : start + 5], "抄写包含该词语的句子。"
    else:
        words = sentence.split()
        start = rng.randrange(max(1, len(words) - 2))
        phrase, ask = " ".join(words[start : start + 3]), "Copy the sentence with the phrase."
    return Exercise(
        ask, [(f"{passage.text}\n{'词语' if passage.chinese else 'Phrase'}: {phrase}", sentence)]
    )


def about_context(rng: random.Random, library: Library) -> Exercise:
    """Several requests about one passage, which stands in a context turn."""
    passage = choose(rng, library, lambda p: len(p.sentences) >= 3)
    chinese = passage.chinese
    requests = [
        (
            "这是什么类型的文本？" if chinese else "What kind of text is this?",
            KINDS[passage.source],
        ),
        ("第一句是什么？" if chinese else "What is the first sentence?", passage.sentences[0]),
        ("最后一句是什么？" if chinese else "What is the last sentence?", passage.sentences[-1]),
        ("有几句话？" if chinese else "How many sentences are there?", str(len(passage.sentences))),
    ]
    if passage.title:
        requests.append(("给出标题。" if chinese else "Give a title.", passage.title))
    if numbers := NUMBER.findall(passage.text):
        requests.append(("列出所有数字。" if chinese else "List the numbers.", ", ".join(numbers)))
    instruction = say(rng, passage, "context")
    chosen = rng.sample(requests, rng.choice([1, 2, 2, 3]))
    return Exercise(instruction, chosen, context=passage.text)


def continuation(rng: random.Random, library: Library) -> Exercise:
    """Continue a text."""
    passage = choose(rng, library, lambda p: len(p.sentences) >= 2)
    ask = say(rng, passage, "continue")
    rest = ("" if passage.chinese else " ").join(passage.sentences[1:3])
    return Exercise(ask, [(passage.sentences[0], rest)])


def translate(rng: random.Random, library: Library) -> Exercise:
    """Tatoeba sentences, both ways, one to four in a row."""
    pairs = rng.sample(library.translations, rng.randint(1, 4))
    if rng.random() < 0.5:
        return Exercise(asked(rng, "to_zh"), pairs)
    return Exercise(asked(rng, "to_en"), [(chinese, english) for english, chinese in pairs])


MAKERS: list[tuple[Callable[[random.Random, Library], Exercise], int]] = [
    (title, 4), (kind_of_text, 3), (language, 1), (next_sentence, 2), (does_follow, 2),
    (missing_word, 2), (extract, 2), (first_sentence, 2), (find_sentence, 1), (continuation, 2),
    (about_context, 4), (translate, 5),
]  # fmt: skip
