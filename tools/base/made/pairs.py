"""Pairs of made sentences: does the second follow from the first, and do they mean the same?"""

from __future__ import annotations

import random

from made.exercise import Exercise, repeats, with_labels
from made.names import person, person_zh, place_name, place_zh

YES, NO, MAYBE = "yes", "no", "maybe"
WHO = ["A man", "A woman", "A boy", "A girl", "Two men", "Three children", "An old man", "A group of people",
       "A young woman", "The teacher", "The farmer", "A nurse", "Two friends", "A dog"]  # fmt: skip
KINDS = {
    "A man": "A person", "A woman": "A person", "A boy": "A child", "A girl": "A child",
    "Two men": "Some people", "Three children": "Some kids", "An old man": "A man",
    "A group of people": "Some people", "A young woman": "A woman", "The teacher": "A person",
    "The farmer": "Someone", "A nurse": "A person", "Two friends": "Two people", "A dog": "An animal",
}  # fmt: skip
# What is done; what is true then as well; what cannot be true; what may be true.
DOINGS = [
    ("riding a bicycle", "moving", "sleeping in bed", "riding home"),
    ("playing a guitar", "making music", "reading quietly", "playing for money"),
    ("cooking soup", "preparing food", "swimming", "cooking for guests"),
    ("running along a river", "outdoors", "sitting at a desk", "training for a race"),
    ("reading a newspaper", "reading", "running", "reading about sports"),
    ("sleeping on a sofa", "resting", "dancing", "dreaming"),
    ("swimming in a lake", "in the water", "driving a car", "swimming with friends"),
    ("eating an apple", "eating fruit", "not eating anything", "very hungry"),
    ("painting a wall", "working", "asleep", "painting the wall white"),
    ("waiting for the bus", "waiting", "flying a plane", "late for work"),
    ("talking on the phone", "speaking", "silent", "talking to a sister"),
    ("carrying a heavy bag", "holding something", "carrying nothing", "going to the airport"),
    ("jumping over a fence", "jumping", "standing still", "running away"),
    ("buying bread", "in a shop", "at home in bed", "buying milk as well"),
    ("climbing a mountain", "outside", "indoors", "tired"),
    ("laughing loudly", "making noise", "crying sadly", "watching a comedy"),
]  # fmt: skip
DOINGS_ZH = [
    ("骑自行车", "在活动", "在床上睡觉", "要回家"), ("弹吉他", "在演奏音乐", "在安静地看书", "在练习新歌"),
    ("做饭", "在准备食物", "在游泳", "请了客人"), ("跑步", "在户外", "坐在办公室里", "在准备比赛"),
    ("看报纸", "在阅读", "在跑步", "在看体育新闻"), ("睡午觉", "在休息", "在跳舞", "在做梦"),
    ("等公共汽车", "在等车", "在开飞机", "上班要迟到了"), ("打电话", "在说话", "一声不吭", "在跟妹妹聊天"),
    ("买面包", "在买东西", "在家睡觉", "还要买牛奶"), ("爬山", "在户外", "在室内", "很累"),
]  # fmt: skip
PLACES = ["in the park", "near the station", "at the market", "in the street", "on the beach", "at home",
          "behind the house", "in front of a shop"]  # fmt: skip
VOCABULARIES = [
    {YES: "yes", NO: "no", MAYBE: "maybe"},
    {YES: "entailment", NO: "contradiction", MAYBE: "neutral"},
    {YES: "true", NO: "false", MAYBE: "unknown"},
    {YES: "follows", NO: "contradicts", MAYBE: "unclear"},
]
VOCABULARIES_ZH = [{YES: "蕴含", NO: "矛盾", MAYBE: "中立"}, {YES: "是", NO: "否", MAYBE: "不确定"},
                   {YES: "对", NO: "错", MAYBE: "未知"}]  # fmt: skip
LAYOUTS = ["A: {}\nB: {}", "Premise: {}\nHypothesis: {}", "{}\n{}", "1. {}\n2. {}", "text: {} claim: {}"]
LAYOUTS_ZH = ["句子一：{}\n句子二：{}", "{}\n{}", "前提：{}\n假设：{}"]


def person_doing(rng: random.Random, answer: str) -> tuple[str, str]:
    """Someone does something somewhere; a second sentence about them."""
    who, doing, place = rng.choice(WHO), rng.choice(DOINGS), rng.choice(PLACES)
    verb = "are" if who.split()[0] in ("Two", "Three") or "people" in who else "is"
    first = f"{who} {verb} {doing[0]} {place}."
    subject = rng.choice([who, KINDS[who]])
    verb = "are" if subject.split()[0] in ("Two", "Three", "Some") or "people" in subject else "is"
    if answer == YES:
        second = rng.choice([f"{subject} {verb} {doing[1]}.", f"{subject} {verb} {doing[0]}.",
                             f"{KINDS[who]} {verb} {place}." if subject != who else f"{who} {verb} {doing[1]}."])  # fmt: skip
    elif answer == NO:
        second = rng.choice([f"{subject} {verb} {doing[2]}.", f"{subject} {verb} not {doing[0]}.",
                             f"Nobody is {doing[0]}."])  # fmt: skip
    else:
        second = rng.choice([f"{subject} {verb} {doing[3]}.", f"{subject} {verb} {place} with a brother.",
                             f"{subject} {verb} happy."])  # fmt: skip
    return first, second


def amounts(rng: random.Random, answer: str) -> tuple[str, str]:
    """A number stated, and a claim about it."""
    who, number = person(rng), rng.randint(3, 90)
    thing = rng.choice(["books", "employees", "cars", "houses", "letters", "tickets"])
    first = f"{who} has {number} {thing}."
    if answer == YES:
        second = f"{who} has more than {number - rng.randint(1, 2)} {thing}."
    elif answer == NO:
        second = f"{who} has {rng.choice(['fewer than', 'only'])} {max(1, number - rng.randint(2, 9))} {thing}."
    else:
        second = f"{who} bought the {thing} in {place_name(rng)}."
    return first, second


def doing_zh(rng: random.Random, answer: str) -> tuple[str, str]:
    """The Chinese counterpart of `person_doing`."""
    who, place, doing = person_zh(rng), place_zh(rng), rng.choice(DOINGS_ZH)
    first = rng.choice([f"{who}正在{doing[0]}。", f"今天{who}在{place}，正在{doing[0]}。"])
    second = {YES: rng.choice([f"{who}{doing[1]}。", f"有人在{doing[0]}。"]),
              NO: rng.choice([f"{who}{doing[2]}。", f"{who}没有{doing[0]}。"]),
              MAYBE: f"{who}{doing[3]}。"}[answer]  # fmt: skip
    return first, second


def entailment(rng: random.Random) -> Exercise:
    """Does the second sentence follow: yes, no, maybe."""
    chinese = rng.random() < 0.3
    words = rng.choice(VOCABULARIES_ZH if chinese else VOCABULARIES)
    instruction = (
        rng.choice(["第二句能从第一句推出吗？", "判断两句话的关系。", "自然语言推理："])
        if chinese
        else rng.choice(["Does B follow from A?", "What is the relation between the two sentences?",
                         "Is the second sentence true given the first?", "Natural language inference.",
                         "Decide if the premise supports the hypothesis."])  # fmt: skip
    )
    pairs = []
    layout = rng.choice(LAYOUTS_ZH if chinese else LAYOUTS)
    for _ in range(repeats(rng)):
        answer = rng.choice([YES, NO, MAYBE])
        maker = doing_zh if chinese else rng.choice([person_doing, person_doing, amounts])
        pairs.append((layout.format(*maker(rng, answer)), words[answer]))
    return Exercise(with_labels(rng, instruction, list(words.values()), chinese), pairs)


REWORDINGS = [
    ("The {a} is {b} than before", "{b} is the {a} compared with the past"),
    ("{who} bought the {a}", "The {a} was bought by {who}"),
    ("{who} lives in {place}", "The home of {who} is in {place}"),
    ("{who} gave {other} the {a}", "{other} was given the {a} by {who}"),
    ("It takes {n} hours to get to {place}", "The way to {place} is {n} hours long"),
    ("{who} is the manager of {other}", "{other} works under {who}"),
    ("The {a} costs {n} dollars", "One pays {n} dollars for the {a}"),
    ("{who} arrived before {other}", "{other} came later than {who}"),
    ("Only {who} went to {place}", "Nobody except {who} went to {place}"),
]
THINGS = ["car", "table", "book", "house", "report", "garden", "phone", "picture", "boat"]


def same_meaning(rng: random.Random) -> Exercise:
    """A sentence and its rewording, or one in which a name or thing was swapped."""
    pairs = []
    for _ in range(repeats(rng)):
        who, other = person(rng), person(rng)
        slots = {"a": rng.choice(THINGS), "b": rng.choice(["larger", "cheaper", "older", "better"]),
                 "who": who, "other": other, "place": place_name(rng), "n": rng.randint(2, 60)}  # fmt: skip
        first, second = rng.choice(REWORDINGS)
        same = rng.random() < 0.5
        changed = dict(slots)
        if not same:
            changed |= {"who": other, "other": who, "a": rng.choice(THINGS), "b": "smaller",
                        "place": place_name(rng), "n": rng.randint(61, 99)}  # fmt: skip
        text = rng.choice(LAYOUTS[:1] + LAYOUTS[2:4]).format(
            first.format(**slots), second.format(**changed)
        )
        pairs.append((text, "yes" if same else "no"))
    return Exercise(rng.choice(["Do both sentences mean the same?", "Paraphrase or not?",
                                "Are these two sentences equal in meaning?"]), pairs)  # fmt: skip


MAKERS = [(entailment, 3), (same_meaning, 1)]
