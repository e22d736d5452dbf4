"""Phrases and expressions: what they mean, and what is refused with the reason."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import SpecError
from pretune.spec.expression import Expression
from pretune.spec.phrase import Choice, Slot, Text, parse_phrase, slots_of


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pay {amount}!", (Text("pay "), Slot("amount"), Text("!"))),
        ("{ask!}", (Slot("ask", capital=True),)),
        ("{monthly fee ask}", (Slot("monthly fee ask"),)),
        ("(see {a})", (Text("(see "), Slot("a"), Text(")"))),
        ("{{x}} a|b) :(", (Text("{x} a|b) :("),)),
        ("(a|)b", (Choice(((Text("a"),), ())), Text("b"))),
        (
            "(a|(b|{c}) d)",
            (Choice(((Text("a"),), (Choice(((Text("b"),), (Slot("c"),))), Text(" d")))),),
        ),
    ],
)
def test_parts(text, parts):
    assert parse_phrase(text) == parts


@given(st.text(alphabet="ab {}()|!", max_size=30))
def test_any_text_is_parsed_or_refused_in_words(text):
    said = ""
    try:
        list(slots_of(parse_phrase(text)))
    except SpecError as error:
        said = str(error)
    assert not said or any(word in said for word in ("partner", "empty braces", "nested"))


def test_choices_nested_without_end():
    with pytest.raises(SpecError, match="nested over 20 deep"):
        parse_phrase("(a|" * 5000 + ")" * 5000)


VALUES = {"amount": Decimal(150), "days": Decimal(3), "bank.fee": Decimal("2.5"), "city": "Oslo"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("amount > 100 and days <= 3", True),
        ("not amount > 100 or city in ['Oslo', 'Rome']", True),
        ("1 < days < 3", False),
        ("'high' if amount >= 150 else 'low'", "high"),
        ("amount * bank.fee / 100", Decimal("3.75")),
        ("0.1 + 0.2 == 0.3", True),
        ("-days + 7 % 4", Decimal(0)),
        ("city != 'Rome'", True),
    ],
)
def test_expressions(text, value):
    assert Expression(text).value(VALUES.__getitem__) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os')", "cannot stand in the expression"),
        ("city.upper()", "cannot stand"),
        ("(1).__class__", "cannot stand"),
        ("[x for x in city]", "cannot stand"),
        ("2 ** 9", "cannot stand"),
        ("amount >", "is no expression; write it like"),
        ("(" * 400, "is no expression"),
        ("1+" * 600 + "1", "over 500 characters"),
    ],
)
def test_what_is_no_expression(text, said):
    with pytest.raises(SpecError, match=said):
        Expression(text)


@pytest.mark.parametrize("text", ["amount + city", "amount / 0", "city * 99", "amount < city"])
def test_no_value_names_the_values(text):
    with pytest.raises(SpecError, match="has no value for"):
        Expression(text).value(VALUES.__getitem__)
