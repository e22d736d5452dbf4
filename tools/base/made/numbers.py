"""Small arithmetic, comparisons, word problems, copying and ordering."""

from __future__ import annotations

import random

from made.exercise import Exercise, repeats
from made.names import GIVEN, company, person

THINGS = ["apples", "books", "coins", "tickets", "stamps", "cards", "eggs", "pens", "boxes"]


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
        pairs.append((rng.choice([f"{a} {sign} {b}", f"{a}{sign}{b}=", f"{a} {sign} {b} = ?"]), str(answer)))
    return Exercise(rng.choice(["Calculate.", "Compute the result.", "计算。", "What is the result?"]), pairs)


def word_problem(rng: random.Random) -> Exercise:
    """One step, said in words, with the calculation shown."""
    who, thing = rng.choice(GIVEN), rng.choice(THINGS)
    a, b = rng.randint(2, 60), rng.randint(2, 20)
    kind = rng.randrange(4)
    if kind == 0:
        text, sum_ = f"{who} has {a} {thing} and gets {b} more. How many {thing} are there now?", f"{a} + {b} = {a + b}"
    elif kind == 1:
        text, sum_ = f"{who} had {a + b} {thing} and gave away {b}. How many are left?", f"{a + b} - {b} = {a}"
    elif kind == 2:
        text, sum_ = f"There are {b} bags with {a} {thing} in each. How many {thing} are there in all?", f"{a} * {b} = {a * b}"
    else:
        text, sum_ = f"{who} shares {a * b} {thing} among {b} friends. How many does each get?", f"{a * b} / {b} = {a}"
    answer = sum_.split("= ")[1]
    return Exercise(rng.choice(["Solve the problem.", "Answer the question step by step.", "Work it out."]),
                    [(text, f"{sum_}\nAnswer: {answer}")])  # fmt: skip


def compare(rng: random.Random) -> Exercise:
    """Which of two numbers is larger."""
    pairs = []
    for _ in range(repeats(rng)):
        a, b = rng.sample(range(rng.choice([20, 1000, 100000])), 2)
        asked, answer = rng.choice([("larger", max(a, b)), ("smaller", min(a, b))])
        pairs.append((f"Which is {asked}: {a} or {b}?", str(answer)))
    return Exercise("Compare the numbers.", pairs)


def table_question(rng: random.Random) -> Exercise:
    """A small table of figures and a question about it."""
    years = [str(year) for year in range(2015, 2024)][rng.randint(0, 5) :][:3]
    rows = rng.sample(["Revenue", "Net income", "Costs", "Employees", "Total assets", "Cash", "Tax"], 3)
    table = {row: [rng.randint(10, 9999) for _ in years] for row in rows}
    shown = "\n".join([" | ".join(["", *years]), *(" | ".join([row, *map(str, table[row])]) for row in rows)])
    row, column = rng.choice(rows), rng.randrange(3)
    kind = rng.randrange(3)
    if kind == 0:
        question, answer = f"What was {row} in {years[column]}?", str(table[row][column])
    elif kind == 1:
        best = max(range(3), key=lambda place: table[row][place])
        question, answer = f"In which year was {row} highest?", years[best]
    else:
        change = table[row][1] - table[row][0]
        question, answer = f"What was the change in {row} from {years[0]} to {years[1]}?", str(change)
    instruction = rng.choice(["Answer from the table.", "Use the figures to answer."])
    return Exercise(instruction, [(question, answer)], context=f"{company(rng)}\n{shown}")


def reorder(rng: random.Random) -> Exercise:
    """Copy, reverse or sort a short list."""
    words = rng.sample(GIVEN + THINGS, rng.randint(3, 7))
    kind, answer = rng.choice([("Repeat the list.", words), ("Reverse the list.", words[::-1]),
                               ("Sort the list by alphabet.", sorted(words, key=str.lower)),
                               ("Give the first item.", words[:1]), ("Give the last item.", words[-1:]),
                               ("How many items are there?", [str(len(words))])])  # fmt: skip
    return Exercise(kind, [(", ".join(words), ", ".join(answer))])


def recall(rng: random.Random) -> Exercise:
    """Several facts, one asked for."""
    facts = {person(rng): rng.choice(["red", "blue", "green", "white"]) for _ in range(rng.randint(2, 5))}
    asked = rng.sample(list(facts), rng.choice([1, 1, 2]))
    said = " ".join(f"{name} has a {color} car." for name, color in facts.items())
    questions = [(f"Which color is the car of {name}?", facts[name]) for name in asked]
    return Exercise("Answer the question.", questions, context=said)


MAKERS = [(calculate, 2), (word_problem, 3), (compare, 1), (table_question, 2), (reorder, 2), (recall, 2)]
