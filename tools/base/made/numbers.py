"""Small arithmetic, comparisons, word problems, copying and ordering."""

from __future__ import annotations

import random

from made.exercise import Exercise, asked, repeats
from made.names import company, person, pick
from made.words import sections

THINGS = ["apples", "books", "coins", "tickets", "stamps", "cards", "eggs", "pens", "boxes"]
COLORS = ["red", "blue", "green", "white"]


def calculate(rng: random.Random) -> Exercise:
    """Plus, minus, times."""
    pairs = []
    for _ in range(repeats(rng) + 1):
        most = rng.choice([10, 20, 100, 1000])
        a, b = rng.randint(0, most), rng.randint(0, most)
        sign = rng.choice("+-+-*")
        if sign == "*":
            a, b = rng.randint(0, 12), rng.randint(0, 12)
        if sign == "-" and b > a:
            a, b = b, a
        answer = {"+": a + b, "-": a - b, "*": a * b}[sign]
        pairs.append(
            (rng.choice([f"{a} {sign} {b}", f"{a}{sign}{b}=", f"{a} {sign} {b} = ?"]), str(answer))
        )
    return Exercise(asked(rng, "calculate"), pairs)


def word_problem(rng: random.Random) -> Exercise:
    """One step, said in words, with the calculation shown."""
    who, thing = pick(rng, "given"), rng.choice(THINGS)
    a, b = rng.randint(2, 60), rng.randint(2, 20)
    text, calculation, answer = rng.choice(
        [
            (f"{who} has {a} {thing} and gets {b} more. How many now?", f"{a} + {b}", a + b),
            (
                f"{who} had {a + b} {thing} and gave away {b}. How many now?",
                f"{a + b} - {b}",
                a,
            ),
            (f"There are {b} bags with {a} {thing} in each. How many in all?", f"{a} * {b}", a * b),
            (
                f"{who} deals out {a * b} {thing} to {b} friends. How many each?",
                f"{a * b} / {b}",
                a,
            ),
        ]
    )
    shown = f"{calculation} = {answer}\nAnswer: {answer}"
    return Exercise(asked(rng, "word_problem"), [(text, shown)])


def compare(rng: random.Random) -> Exercise:
    """Which of two numbers is larger."""
    pairs = []
    for _ in range(repeats(rng)):
        a, b = rng.sample(range(rng.choice([20, 1000, 100000])), 2)
        wanted, answer = rng.choice([("larger", max(a, b)), ("smaller", min(a, b))])
        pairs.append((f"Which is {wanted}: {a} or {b}?", str(answer)))
    return Exercise("Compare the numbers.", pairs)


def table_question(rng: random.Random) -> Exercise:
    """A small table of figures and a question about it."""
    years = [str(year) for year in range(2015, 2024)][rng.randint(0, 5) :][:3]
    rows = rng.sample(
        ["Revenue", "Net income", "Costs", "Employees", "Total assets", "Cash", "Tax"], 3
    )
    table = {row: [rng.randint(10, 9999) for _ in years] for row in rows}
    shown = "\n".join(
        [" | ".join(["", *years]), *(" | ".join([row, *map(str, table[row])]) for row in rows)]
    )
    row, column = rng.choice(rows), rng.randrange(3)
    kind = rng.randrange(3)
    if kind == 0:
        question, answer = f"What was {row} in {years[column]}?", str(table[row][column])
    elif kind == 1:
        best = max(range(3), key=lambda place: table[row][place])
        question, answer = f"In which year was {row} highest?", years[best]
    else:
        change = table[row][1] - table[row][0]
        question, answer = (
            f"What was the change in {row} from {years[0]} to {years[1]}?",
            str(change),
        )
    instruction = asked(rng, "table")
    return Exercise(instruction, [(question, answer)], context=f"{company(rng)}\n{shown}")


def reorder(rng: random.Random) -> Exercise:
    """Copy, reverse or sort a short list."""
    words = rng.sample(sections("names")["given"] + THINGS, rng.randint(3, 7))
    kind, answer = rng.choice(
        [
            ("Repeat the list.", words),
            ("Reverse the list.", words[::-1]),
            ("Sort the list by alphabet.", sorted(words, key=str.lower)),
            ("Give the first item.", words[:1]),
            ("Give the last item.", words[-1:]),
            ("How many items are there?", [str(len(words))]),
        ]
    )
    return Exercise(kind, [(", ".join(words), ", ".join(answer))])


def recall(rng: random.Random) -> Exercise:
    """Several facts, one asked for."""
    facts = {person(rng): rng.choice(COLORS) for _ in range(rng.randint(2, 5))}
    chosen = rng.sample(list(facts), rng.choice([1, 1, 2]))
    said = " ".join(f"{name} has a {color} car." for name, color in facts.items())
    questions = [(f"Which color is the car of {name}?", facts[name]) for name in chosen]
    return Exercise("Answer the question.", questions, context=said)


MAKERS = [
    (calculate, 2),
    (word_problem, 3),
    (compare, 1),
    (table_question, 2),
    (reorder, 2),
    (recall, 2),
]
