"""Attribute lists and the sentences that say them, several domains and notations, both ways."""

from __future__ import annotations

import random
from collections.abc import Callable

from made.exercise import Exercise, article, asked, capital, tongue
from made.names import house, person, pick, place_name

Record = dict[str, str]
Domain = Callable[[random.Random], tuple[Record, str]]

FRIENDLY = {
    "yes": ["it is family friendly", "children are welcome", "it is kid friendly"],
    "no": [
        "it is not family friendly",
        "it is for adults only",
        "it is not suitable for children",
    ],
}
JOBS = [
    "engineer", "painter", "doctor", "singer", "lawyer", "footballer", "teacher", "writer",
    "architect", "chemist", "politician", "pilot",
]  # fmt: skip


def some(rng: random.Random, record: Record, least: int) -> Record:
    """The first field and a random choice of the others, at least `least` in all."""
    keys = list(record)
    count = rng.randint(least, len(keys))
    kept = {keys[0], *rng.sample(keys[1:], count - 1)}
    return {key: record[key] for key in keys if key in kept}


def sentence(*parts: str) -> str:
    """The parts that are not empty, as one sentence."""
    return capital(" ".join(part for part in parts if part)) + "."


def restaurant(rng: random.Random) -> tuple[Record, str]:
    """A restaurant and a text about it."""
    record = some(
        rng,
        {
            "name": house(rng),
            "type": rng.choice(["restaurant", "pub", "coffee shop", "bistro", "wine bar"]),
            "food": pick(rng, "food"),
            "price": pick(rng, "price"),
            "rating": pick(rng, "rating"),
            "area": pick(rng, "area"),
            "families": rng.choice(["yes", "no"]),
            "near": house(rng),
        },
        least=3,
    )
    facts = restaurant_facts(rng, record)
    text = restaurant_opening(rng, record)
    if len(facts) > 1:
        first, second, *facts = facts
        text += " " + sentence(first + rng.choice([" and ", ", and ", ", while "]) + second)
    return record, " ".join([text, *map(sentence, facts)])


def restaurant_opening(rng: random.Random, record: Record) -> str:
    """Name, type, food and place in one sentence."""
    name, kind = record["name"], article(record.get("type", "place"))
    food, area, near = record.get("food"), record.get("area"), record.get("near")
    where = rng.choice([f"in the {area}", f"located in the {area} area"]) if area else ""
    beside = f"{rng.choice(['near', 'close to', 'not far from', 'by'])} {near}" if near else ""
    serves = rng.choice([f"serves {food} food", f"offers {food} dishes", f"has {food} cuisine"])
    if rng.random() < 0.3:
        return sentence(f"{name}, {kind},", serves if food else "is open", where, beside)
    start = rng.choice([f"{name} is {kind}", f"there is {kind} called {name}"])
    return sentence(start, f"that {serves}" if food else "", where, beside)


def restaurant_facts(rng: random.Random, record: Record) -> list[str]:
    """Price, rating and children as clauses, in random order."""
    facts = []
    if price := record.get("price"):
        facts.append(rng.choice([f"prices are {price}", f"its price range is {price}"]))
    if rating := record.get("rating"):
        forms = ["it has a customer rating of {}", "customers rate it {}", "the rating is {}"]
        facts.append(rng.choice(forms).format(rating))
    if families := record.get("families"):
        facts.append(rng.choice(FRIENDLY[families]))
    rng.shuffle(facts)
    return facts


def hotel(rng: random.Random) -> tuple[Record, str]:
    """A hotel and a text about it."""
    record = some(
        rng,
        {
            "name": f"{house(rng)} {rng.choice(['Hotel', 'Inn', 'Lodge'])}",
            "stars": str(rng.randint(1, 5)),
            "city": place_name(rng),
            "price per night": f"${rng.randint(4, 40) * 10}",
            "breakfast": rng.choice(["included", "not included"]),
            "pool": rng.choice(["yes", "no"]),
        },
        least=2,
    )
    stars = f"{record['stars']}-star hotel" if "stars" in record else "hotel"
    city = f"in {record['city']}" if "city" in record else ""
    parts = [sentence(record["name"], "is a", stars, city)]
    if night := record.get("price per night"):
        parts.append(
            sentence(rng.choice([f"a night costs {night}", f"rooms cost {night} a night"]))
        )
    if breakfast := record.get("breakfast"):
        parts.append(sentence("breakfast is", breakfast))
    if pool := record.get("pool"):
        parts.append("It has a pool." if pool == "yes" else "There is no pool.")
    return record, " ".join(parts)


def phone(rng: random.Random) -> tuple[Record, str]:
    """A phone and a text about it."""
    record = some(
        rng,
        {
            "model": f"{rng.choice(['Nova', 'Orion', 'Zen', 'Astra'])} {rng.randint(2, 12)}",
            "screen": f"{rng.randint(50, 69) / 10} inches",
            "battery": f"{rng.randint(30, 60) * 100} mAh",
            "memory": f"{rng.choice([64, 128, 256, 512])} GB",
            "color": rng.choice(["black", "white", "blue", "silver", "green"]),
            "price": f"${rng.randint(2, 12) * 100 - 1}",
        },
        least=2,
    )
    forms = {"screen": "a screen of {}", "battery": "a {} battery", "memory": "{} of memory"}
    has = [form.format(record[key]) for key, form in forms.items() if key in record]
    listed = " and ".join([", ".join(has[:-1]), has[-1]] if len(has) > 1 else has)
    says = [f"{rng.choice(['has', 'comes with', 'offers'])} {listed}"] if has else []
    says += [f"costs {record['price']}"] if "price" in record else []
    return record, sentence(
        "the", record.get("color", ""), record["model"], " and ".join(says) or "is a phone"
    )


def biography(rng: random.Random) -> tuple[Record, str]:
    """A person and a text about them."""
    employer = rng.choice(["Systems", "Bank", "Hospital", "University"])
    record = some(
        rng,
        {
            "name": person(rng),
            "born": str(rng.randint(1900, 2000)),
            "birthplace": place_name(rng),
            "occupation": rng.choice(JOBS),
            "employer": f"{pick(rng, 'house_first')} {employer}",
        },
        least=2,
    )
    name = record["name"]
    parts = []
    if job := record.get("occupation"):
        parts.append(sentence(name, "is", article(job)))
    birth = [f"in {record[key]}" for key in ("born", "birthplace") if key in record]
    if birth:
        parts.append(sentence(name, "was born", *birth))
    if employer := record.get("employer"):
        parts.append(sentence(name, rng.choice(["worked for", "was employed by"]), employer))
    first, *rest = parts
    return record, " ".join([first, *(part.replace(f"{name} was", "They were").replace(name, "They")
                                      for part in rest)])  # fmt: skip


def flight(rng: random.Random) -> tuple[Record, str]:
    """A journey and a text about it."""
    record = some(
        rng,
        {
            "from": place_name(rng),
            "to": place_name(rng),
            "date": f"{rng.randint(1, 28)} {rng.choice(['March', 'July', 'October', 'December'])}",
            "seats": str(rng.randint(2, 6)),
            "class": rng.choice(["economy", "business", "first"]),
        },
        least=2,
    )
    text = sentence(
        f"the flight leaves from {record['from']}",
        f"and goes to {record['to']}" if "to" in record else "",
        f"on {record['date']}" if "date" in record else "",
        f"in {record['class']} class" if "class" in record else "",
    )
    return record, text + (f" {record['seats']} seats are booked." if "seats" in record else "")


def restaurant_zh(rng: random.Random) -> tuple[Record, str]:
    """A restaurant in Chinese and a text about it."""
    name = rng.choice("金银红蓝绿老新小") + rng.choice("龙月山河花竹")
    record = some(
        rng,
        {
            "名称": name + rng.choice(["饭店", "酒楼", "餐厅"]),
            "位置": rng.choice(["市中心", "河边", "火车站附近", "老城区", "大学旁边"]),
            "菜系": rng.choice(["川菜", "粤菜", "湘菜", "西餐", "日本料理", "素食"]),
            "人均": f"{rng.randint(3, 30) * 10}元",
            "评分": f"{rng.randint(30, 50) / 10}分",
        },
        least=2,
    )
    forms = {"位置": "位于{}", "菜系": "主营{}", "人均": "人均消费{}", "评分": "评分{}"}
    facts = [form.format(record[key]) for key, form in forms.items() if key in record]
    return record, record["名称"] + "，".join(facts) + "。"


DOMAINS: list[Domain] = [
    restaurant,
    restaurant,
    restaurant,
    hotel,
    phone,
    biography,
    flight,
    restaurant_zh,
]
# How one field is written, and what stands between fields.
NOTATIONS: list[tuple[str, str]] = [
    ("{}[{}]", ", "),
    ("{}[{}]", ", "),
    ("{}: {}", "\n"),
    ("{}: {}", ", "),
    ("{}={}", " | "),
    ("{} : {}", " | "),
    ("<{}> {}", " "),
    ("{} = {}", "; "),
    ("({}; {})", " "),
]


def notate(record: Record, notation: tuple[str, str]) -> str:
    """A record in one notation."""
    return notation[1].join(notation[0].format(key, value) for key, value in record.items())


def renamed(rng: random.Random, record: Record) -> Record:
    """The record; in four cases of ten with its keys written in another style."""
    if rng.random() < 0.6:
        return record
    style = rng.choice([str.title, str.upper, camel_case])
    return {style(key): value for key, value in record.items()}


def camel_case(key: str) -> str:
    """`price per night` as `pricePerNight`."""
    first, *rest = key.split()
    return first + "".join(word.title() for word in rest)


def to_text(rng: random.Random) -> Exercise:
    """Record to text."""
    domain, notation = rng.choice(DOMAINS), rng.choice(NOTATIONS)
    made = [domain(rng) for _ in range(rng.choice([1, 1, 1, 2]))]
    return Exercise(
        asked(rng, f"to_text.{tongue(domain is restaurant_zh)}"),
        [(notate(renamed(rng, record), notation), text) for record, text in made],
    )


def to_data(rng: random.Random) -> Exercise:
    """Text to record."""
    domain, notation = rng.choice(DOMAINS), rng.choice(NOTATIONS)
    record, text = domain(rng)
    instruction = asked(rng, f"to_data.{tongue(domain is restaurant_zh)}")
    return Exercise(instruction, [(text, notate(record, notation))])


def look_up(rng: random.Random) -> Exercise:
    """Values of a record or of a text, asked by their keys."""
    domain = rng.choice(DOMAINS)
    record, text = domain(rng)
    shown = rng.choice([text, notate(record, rng.choice(NOTATIONS))])
    keys = rng.sample(list(record), min(len(record), rng.choice([1, 1, 2, 3])))
    form = rng.choice(["What is the {}?", "{}?", "Give the {}."])
    if domain is restaurant_zh:
        form = "{}是什么？"
    questions = [(form.format(key), record[key]) for key in keys]
    return Exercise(asked(rng, "look_up"), questions, context=shown)


MAKERS = [(to_text, 6), (to_data, 2), (look_up, 2)]
