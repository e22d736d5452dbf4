"""Attribute lists and the sentences that say them, several domains and notations, both ways."""

from __future__ import annotations

import random
from collections.abc import Callable

from made.exercise import Exercise, article, capital
from made.names import person, place_name

Record = dict[str, str]

FOODS = ["Italian", "Chinese", "Indian", "Japanese", "French", "English", "Thai", "Mexican", "Greek",
         "Turkish", "Korean", "vegetarian", "seafood", "fast food", "Spanish"]  # fmt: skip
FIRST = ["Golden", "Blue", "Old", "Silver", "Red", "Green", "Royal", "Little", "Happy", "Black",
         "Sunny", "Quiet", "Lucky", "White", "Wild", "Copper"]  # fmt: skip
SECOND = ["Dragon", "Lion", "Garden", "Spoon", "Kettle", "Anchor", "Rose", "Bridge", "Olive", "Fox",
          "Table", "Harbour", "Windmill", "Crown", "Peacock", "Lantern"]  # fmt: skip
PRICES = ["cheap", "moderate", "high", "less than £20", "£20-25", "more than £30", "low", "average"]
RATINGS = ["low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5"]
AREAS = ["city centre", "riverside", "old town", "harbour", "suburbs", "station quarter"]


def place(rng: random.Random) -> str:
    """The invented name of a restaurant or hotel."""
    name = f"{rng.choice(FIRST)} {rng.choice(SECOND)}"
    return rng.choice([f"The {name}", name, f"{person(rng).split()[-1]}'s"])


def some(rng: random.Random, record: Record, least: int) -> Record:
    """The first field and a random choice of the others, at least `least` in all."""
    keys = list(record)
    count = rng.randint(least, len(keys))
    kept = {keys[0], *rng.sample(keys[1:], count - 1)}
    return {key: record[key] for key in keys if key in kept}


def restaurant(rng: random.Random) -> tuple[Record, str]:
    """A restaurant and a text about it."""
    record = some(rng, {
        "name": place(rng),
        "type": rng.choice(["restaurant", "pub", "coffee shop", "bistro", "wine bar"]),
        "food": rng.choice(FOODS),
        "price": rng.choice(PRICES),
        "rating": rng.choice(RATINGS),
        "area": rng.choice(AREAS),
        "families": rng.choice(["yes", "no"]),
        "near": place(rng),
    }, 3)  # fmt: skip
    name, kind = record["name"], record.get("type", "place")
    food, area, near = record.get("food"), record.get("area"), record.get("near")
    opening = rng.choice([f"{name} is {article(kind)}", f"There is {article(kind)} called {name}",
                          f"{name}, {article(kind)},"])  # fmt: skip
    comma = opening.endswith(",")
    where = rng.choice([f"in the {area}", f"located in the {area} area"]) if area else ""
    beside = rng.choice([f"near {near}", f"close to {near}", f"not far from {near}"]) if near else ""
    serves = rng.choice([f"serves {food} food", f"offers {food} dishes", f"has {food} cuisine"])
    if comma:
        middle = serves if food else "is open every day"
        text = f"{opening} {middle} {where} {beside}"
    else:
        rest = rng.choice([f"that {serves}", f"which {serves}"]) if food else ""
        text = f"{opening} {rest} {where} {beside}"
    text = " ".join(text.split()) + "."
    extra = []
    if price := record.get("price"):
        extra.append(rng.choice([f"prices are {price}", f"its price range is {price}"]))
    if rating := record.get("rating"):
        extra.append(rng.choice([f"it has a customer rating of {rating}",
                                 f"customers rate it {rating}", f"the rating is {rating}"]))  # fmt: skip
    if families := record.get("families"):
        good = families == "yes"
        extra.append(rng.choice(["it is family friendly", "children are welcome", "it is kid friendly"]
                                if good else ["it is not family friendly", "it is for adults only",
                                              "it is not suitable for children"]))  # fmt: skip
    rng.shuffle(extra)
    if len(extra) >= 2:
        joint = rng.choice([" and ", ", and ", ", while "])
        text += f" {capital(extra[0] + joint + extra[1])}."
        extra = extra[2:]
    return record, " ".join([text, *(f"{capital(part)}." for part in extra)])


def hotel(rng: random.Random) -> tuple[Record, str]:
    """A hotel and a text about it."""
    record = some(rng, {
        "name": f"{place(rng)} {rng.choice(['Hotel', 'Inn', 'Lodge'])}",
        "stars": str(rng.randint(1, 5)),
        "city": place_name(rng),
        "price per night": f"${rng.randint(4, 40) * 10}",
        "breakfast": rng.choice(["included", "not included"]),
        "pool": rng.choice(["yes", "no"]),
    }, 2)  # fmt: skip
    name = record["name"]
    stars = f"{record['stars']}-star hotel" if "stars" in record else "hotel"
    city = f" in {record['city']}" if "city" in record else ""
    parts = [f"{name} is a {stars}{city}"]
    if night := record.get("price per night"):
        parts.append(rng.choice([f"a night costs {night}", f"rooms cost {night} per night"]))
    if breakfast := record.get("breakfast"):
        parts.append(f"breakfast is {breakfast}")
    if pool := record.get("pool"):
        parts.append("it has a pool" if pool == "yes" else "there is no pool")
    return record, rng.choice(["{}.", "{}."]).format(". ".join(capital(part) for part in parts))


def phone(rng: random.Random) -> tuple[Record, str]:
    """A phone and a text about it."""
    record = some(rng, {
        "model": f"{rng.choice(['Nova', 'Orion', 'Pixelo', 'Zen', 'Astra'])} {rng.randint(2, 12)}",
        "screen": f"{rng.randint(50, 69) / 10} inches",
        "battery": f"{rng.randint(30, 60) * 100} mAh",
        "memory": f"{rng.choice([64, 128, 256, 512])} GB",
        "color": rng.choice(["black", "white", "blue", "silver", "green"]),
        "price": f"${rng.randint(2, 12) * 100 - 1}",
    }, 2)  # fmt: skip
    color = f"{record['color']} " if "color" in record else ""
    has = [f"{article(text)}" for text in (
        f"{record['screen']} screen" if "screen" in record else "",
        f"{record['battery']} battery" if "battery" in record else "",
    ) if text] + ([f"{record['memory']} of memory"] if "memory" in record else [])  # fmt: skip
    text = f"The {color}{record['model']}"
    if has:
        listed = has[0] if len(has) == 1 else f"{', '.join(has[:-1])} and {has[-1]}"
        text += f" {rng.choice(['has', 'comes with', 'offers'])} {listed}"
    if "price" in record:
        text += f"{' and' if has else ''} costs {record['price']}"
    elif not has:
        text += " is a phone"
    return record, text + "."


def biography(rng: random.Random) -> tuple[Record, str]:
    """A person and a text about them."""
    job = rng.choice(["engineer", "painter", "doctor", "singer", "lawyer", "footballer", "teacher",
                      "writer", "architect", "chemist", "politician", "pilot"])  # fmt: skip
    record = some(rng, {
        "name": person(rng),
        "born": str(rng.randint(1900, 2000)),
        "birthplace": place_name(rng),
        "occupation": job,
        "employer": f"{rng.choice(FIRST)} {rng.choice(['Systems', 'Bank', 'Hospital', 'University'])}",
    }, 2)  # fmt: skip
    name = record["name"]
    text = f"{name} is {article(record['occupation'])}" if "occupation" in record else ""
    birth = f"{'in ' + record['born'] if 'born' in record else ''}"
    birth += f" in {record['birthplace']}" if "birthplace" in record else ""
    sentences = [text] if text else []
    if birth:
        sentences.append(f"{'They were' if sentences else name + ' was'} born {birth.strip()}")
    if "employer" in record:
        works = rng.choice(["worked for", "works at", "was employed by"])
        works = "work at" if sentences and works == "works at" else works
        sentences.append(f"{'They' if sentences else name} {works} {record['employer']}")
    return record, ". ".join(sentences) + "."


def flight(rng: random.Random) -> tuple[Record, str]:
    """A journey and a text about it."""
    record = some(rng, {
        "from": place_name(rng),
        "to": place_name(rng),
        "date": f"{rng.randint(1, 28)} {rng.choice(['March', 'July', 'October', 'December'])}",
        "seats": str(rng.randint(1, 6)),
        "class": rng.choice(["economy", "business", "first"]),
    }, 2)  # fmt: skip
    text = f"The flight leaves from {record['from']}"
    text += f" and goes to {record['to']}" if "to" in record else ""
    text += f" on {record['date']}" if "date" in record else ""
    if "seats" in record:
        text += f". {capital(record['seats'])} seat{'s are' if record['seats'] != '1' else ' is'} booked"
    text += f" in {record['class']} class" if "class" in record else ""
    return record, text + "."


def dish_zh(rng: random.Random) -> tuple[Record, str]:
    """A Chinese restaurant record and a sentence."""
    record = some(rng, {
        "名称": rng.choice("金银红蓝绿老新小") + rng.choice(["龙", "月", "山", "河", "花", "竹"]) + rng.choice(["饭店", "酒楼", "餐厅"]),
        "菜系": rng.choice(["川菜", "粤菜", "湘菜", "西餐", "日本料理", "素食"]),
        "人均": f"{rng.randint(3, 30) * 10}元",
        "评分": f"{rng.randint(30, 50) / 10}分",
        "位置": rng.choice(["市中心", "河边", "火车站附近", "老城区", "大学旁边"]),
    }, 2)  # fmt: skip
    text = record["名称"]
    text += f"位于{record['位置']}" if "位置" in record else ""
    text += f"{'，' if '位置' in record else ''}主营{record['菜系']}" if "菜系" in record else ""
    text += f"，人均消费{record['人均']}" if "人均" in record else ""
    text += f"，评分{record['评分']}" if "评分" in record else ""
    return record, text.replace(record["名称"] + "，", record["名称"]) + "。"


DOMAINS: list[Callable[[random.Random], tuple[Record, str]]] = [
    restaurant, restaurant, restaurant, hotel, phone, biography, flight, dish_zh,
]  # fmt: skip
NOTATIONS: list[tuple[str, str]] = [
    ("{}[{}]", ", "), ("{}[{}]", ", "), ("{}: {}", "\n"), ("{}: {}", ", "), ("{}={}", " | "),
    ("{} : {}", " | "), ("<{}> {}", " "), ("{} = {}", "; "), ("({}; {})", " "),
]  # fmt: skip
TO_TEXT = ["Describe it in a sentence.", "Turn the attributes into text.", "Write a description.",
           "Write the data as fluent text.", "Verbalise the record.", "Generate a sentence from the data.",
           "You write short texts from structured data."]  # fmt: skip
TO_DATA = ["List the attributes.", "Extract the record from the text.", "Turn the text into data."]


def notate(record: Record, notation: tuple[str, str]) -> str:
    """A record in one notation: how a field is written, what stands between fields."""
    return notation[1].join(notation[0].format(key, value) for key, value in record.items())


def renamed(rng: random.Random, record: Record) -> Record:
    """The record, some of its keys written as programs write them."""
    if rng.random() < 0.6:
        return record
    camel = {key: key.split()[0] + "".join(word.title() for word in key.split()[1:]) for key in record}
    style = rng.choice([camel, {key: key.title() for key in record}, {key: key.upper() for key in record}])
    return {style[key]: value for key, value in record.items()}


def to_text(rng: random.Random) -> Exercise:
    """Record to text."""
    domain = rng.choice(DOMAINS)
    notation = rng.choice(NOTATIONS)
    instruction = "请根据属性写一句话。" if domain is dish_zh else rng.choice(TO_TEXT)
    pairs = []
    for _ in range(rng.choice([1, 1, 1, 2])):
        record, text = domain(rng)
        pairs.append((notate(renamed(rng, record), notation), text))
    return Exercise(instruction, pairs)


def to_data(rng: random.Random) -> Exercise:
    """Text to record."""
    domain = rng.choice(DOMAINS)
    notation = rng.choice(NOTATIONS)
    instruction = "请把文本写成属性表。" if domain is dish_zh else rng.choice(TO_DATA)
    record, text = domain(rng)
    return Exercise(instruction, [(text, notate(record, notation))])


def look_up(rng: random.Random) -> Exercise:
    """Values of a record or of a text, asked by their keys."""
    domain = rng.choice(DOMAINS)
    record, text = domain(rng)
    shown = rng.choice([text, notate(record, rng.choice(NOTATIONS))])
    keys = rng.sample(list(record), min(len(record), rng.choice([1, 1, 2, 3])))
    form = "{}是什么？" if domain is dish_zh else rng.choice(["What is the {}?", "{}?", "Give the {}."])
    instruction = rng.choice(["Answer from the text.", "Find the value.", "根据内容回答。"])
    return Exercise(instruction, [(form.format(key), record[key]) for key in keys], context=shown)


MAKERS = [(to_text, 6), (to_data, 2), (look_up, 2)]
