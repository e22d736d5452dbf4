"""Customer messages and their intents, English and Chinese, from phrasings with slots."""

from __future__ import annotations

import random
import re

from made.exercise import Exercise, capital, repeats, with_labels
from made.words import columns

SLOTS_EN = {
    "card": ["card", "debit card", "credit card", "bank card", "new card", "business card"],
    "account": ["account", "savings account", "current account", "joint account"],
    "amount": ["$20", "50 euros", "£100", "$1,250", "300 pounds", "ten dollars", "75"],
    "when": ["yesterday", "this morning", "last week", "on Monday", "two days ago", "last night"],
    "days": ["a week", "ten days", "two weeks", "three days", "a month"],
    "place": ["the supermarket", "Berlin", "the airport", "a hotel", "the train", "Oak Street",
              "the office", "Lisbon", "the petrol station", "a bar"],
    "country": ["Spain", "Japan", "Canada", "Germany", "Brazil", "the US", "Italy", "India"],
    "weekday": ["Monday", "Friday", "Sunday", "tomorrow", "Wednesday", "the weekend"],
    "person": ["my landlord", "Anna", "my sister", "Mr. Brown", "my boss", "Lee"],
    "relative": ["wife", "husband", "daughter", "son", "mother", "partner"],
    "currency": ["euros", "dollars", "yen", "pounds", "francs"],
    "month": ["January", "May", "October", "last month"],
    "software": ["Excel", "the CRM", "the browser", "Photoshop", "the payroll tool", "Teams"],
    "resource": ["finance folder", "shared drive", "test server", "wiki", "sales database"],
    "item": ["jacket", "headphones", "lamp", "shoes", "kettle", "phone case", "desk", "backpack"],
}  # fmt: skip
SLOTS_ZH = {
    "card": ["银行卡", "信用卡", "借记卡", "卡"],
    "account": ["账户", "储蓄账户", "卡"],
    "amount": ["五百元", "100块", "两千元", "3000元"],
    "when": ["昨天", "上周", "今天早上", "前天"],
    "item": ["鞋子", "外套", "耳机", "台灯", "书包", "手机壳"],
    "resource": ["财务系统", "测试服务器", "共享盘", "数据库"],
    "place": ["北京", "上海", "广州", "火车站", "机场"],
    "weekday": ["周一", "周五", "明天", "周末"],
}
BEFORE_EN = ["", "", "", "", "", "Hi, ", "Hello, ", "please help: ", "Quick question: ", "Excuse me, ",
             "Hey, ", "I have a problem, ", "Good morning. ", "Can you help me? ", "Sorry, ", "So, ",
             "I was wondering, ", "Could you tell me, "]  # fmt: skip
AFTER_EN = ["", "", "", "", "", " Thanks.", " Please help.", " What should I do?", " Can you check?",
            " It's urgent.", " I need this today.", " How do I fix it?", " Why is that?",
            " I don't know what to do.", " Is that normal?", " Please explain."]  # fmt: skip
BEFORE_ZH = ["", "", "", "你好，", "您好，", "请问", "麻烦问一下，", "急！"]
AFTER_ZH = ["", "", "", "？", "，谢谢", "，怎么办", "，请尽快处理"]
INSTRUCTIONS_EN = [
    "What does the customer want?", "Name the intent.", "Classify the request.", "Intent:",
    "Route this message to the right queue.", "You are an intent classifier.",
    "Which category does the question belong to?", "Label the customer message with its intent.",
    "Give the intent of the query.", "Sort the ticket.", "Classify the text.",
]  # fmt: skip
INSTRUCTIONS_ZH = ["用户想做什么？", "判断用户意图。", "这个问题属于哪一类？", "意图分类：", "给工单分类。"]

Intent = tuple[str, str, list[str]]


def intents(language: str) -> list[Intent]:
    """(domain, label, phrasings) of a language."""
    return [(row[0], row[1], row[2:]) for row in columns(f"intents_{language}")]


def fill(rng: random.Random, text: str, slots: dict[str, list[str]]) -> str:
    """Replace every `{slot}` by one of its values."""
    return re.sub(r"\{(\w+)\}", lambda found: rng.choice(slots[found[1]]), text)


def message(rng: random.Random, intent: Intent, chinese: bool) -> str:
    """One customer message with this intent."""
    text = rng.choice(intent[2])
    if chinese:
        return rng.choice(BEFORE_ZH) + fill(rng, text, SLOTS_ZH) + rng.choice(AFTER_ZH)
    before, after = rng.choice(BEFORE_EN), rng.choice(AFTER_EN)
    text = fill(rng, text, SLOTS_EN)
    asks = re.match(r"(how|what|where|when|why|who|which|can|do|does|is|are|will|has)\b", text, re.I)
    mark = rng.choice(["?", "?", "", "."]) if asks else rng.choice([".", ".", "", "!"])
    text = before + text + mark
    if before.endswith(". ") or before.endswith("? ") or not before:
        text = before + capital(text[len(before) :])
    text += after if mark else ""
    return text.lower() if rng.random() < 0.2 else capital(text)


def written(rng: random.Random, label: str) -> str:
    """How a label vocabulary spells its labels; one choice for a whole exercise."""
    return rng.choice([label, label, label, label.replace(" ", "_"), label.title()])


def label_messages(rng: random.Random) -> Exercise:
    """Intent of a message, mostly with no list of labels."""
    chinese = rng.random() < 0.2
    known = intents("zh" if chinese else "en")
    if rng.random() < 0.6:
        domain = rng.choice(known)[0]
        known = [intent for intent in known if intent[0] == domain]
    instruction = rng.choice(INSTRUCTIONS_ZH if chinese else INSTRUCTIONS_EN)
    chosen = [rng.choice(known) for _ in range(repeats(rng))]
    style = rng.randrange(1 << 30)
    if rng.random() < 0.2:
        options = {intent[1] for intent in [*chosen, *rng.sample(known, min(4, len(known)))]}
        instruction = with_labels(rng, instruction, sorted(options), chinese)
        style = 0
    return Exercise(
        instruction,
        [(message(rng, i, chinese), written(random.Random(style), i[1])) for i in chosen],
    )


def name_domain(rng: random.Random) -> Exercise:
    """Which desk a message belongs to."""
    chinese = rng.random() < 0.25
    known = intents("zh" if chinese else "en")
    labels = sorted({intent[0] for intent in known})
    instruction = "这条消息属于哪个领域？" if chinese else "Which department should answer?"
    chosen = [rng.choice(known) for _ in range(repeats(rng))]
    return Exercise(
        with_labels(rng, instruction, labels, chinese),
        [(message(rng, intent, chinese), intent[0]) for intent in chosen],
    )


def same_intent(rng: random.Random) -> Exercise:
    """Whether two messages ask for the same thing."""
    chinese = rng.random() < 0.35
    known = [i for i in intents("zh" if chinese else "en") if len(i[2]) > 1]
    yes, no = ("是", "否") if chinese else rng.choice([("yes", "no"), ("same", "different")])
    instruction = (
        rng.choice(["两句话的意思相同吗？", "这两个问题是否同义？", "判断两个问题是否一样。"])
        if chinese
        else rng.choice(["Do both messages ask for the same thing?", "Same meaning?",
                         "Are the two questions duplicates?"])  # fmt: skip
    )
    pairs = []
    for _ in range(repeats(rng)):
        intent = rng.choice(known)
        same = rng.random() < 0.5
        domain = [other for other in known if other[0] == intent[0] and other[1] != intent[1]]
        second = intent if same else rng.choice(domain)
        first_text, second_text = message(rng, intent, chinese), message(rng, second, chinese)
        layout = rng.choice(["1: {}\n2: {}", "A: {}\nB: {}", "{}\n{}"])
        pairs.append((layout.format(first_text, second_text), yes if same else no))
    return Exercise(with_labels(rng, instruction, [yes, no], chinese), pairs)


def urgency(rng: random.Random) -> Exercise:
    """How urgent a message sounds, from the words it carries."""
    marks = {
        "high": ["This is urgent!", "Everything is down.", "We are losing money.", "Right now please!",
                 "Nobody can work.", "It is an emergency."],
        "medium": ["Please look at it today.", "It would help to have it this week.",
                   "It disturbs my work a little."],
        "low": ["No hurry.", "Whenever you have time.", "Just a small thing.",
                "It can wait until next month.", "Just curious."],
    }  # fmt: skip
    known = intents("en")
    pairs = []
    for _ in range(repeats(rng)):
        label = rng.choice(list(marks))
        pairs.append((f"{message(rng, rng.choice(known), False)} {rng.choice(marks[label])}", label))
    return Exercise(with_labels(rng, "How urgent is the ticket?", list(marks), False), pairs)


def write_message(rng: random.Random) -> Exercise:
    """From the intent to a message."""
    chinese = rng.random() < 0.2
    intent = rng.choice(intents("zh" if chinese else "en"))
    instruction = "按意图写一条用户消息。" if chinese else "Write a customer message with this intent."
    return Exercise(instruction, [(intent[1], message(rng, intent, chinese))])


MAKERS = [(label_messages, 10), (name_domain, 1), (same_intent, 4), (urgency, 1), (write_message, 1)]
