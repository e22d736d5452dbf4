"""Rules to rows: the same bytes each time, shares exact, values that belong together do."""

import json
from collections import Counter
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretune.core.errors import DataError, SpecError
from pretune.core.origin import KEY, RowKind, origin_of
from pretune.data.rules.book import Book
from pretune.data.rules.make import Maker, UsedUp, make_rows
from pretune.data.rules.turns import Turns
from pretune.data.splits import Split
from pretune.spec.rules import parse_rules


def rules(**given):
    base = {
        "name": "tickets",
        "slots": {
            "system": ["mail", "payroll", "the portal", "intranet", "e-sign", "archive"],
            "city": [f"city{n}" for n in range(40)],
            "n": {"number": {"from": 1, "to": 9999}},
        },
        "rules": [
            {
                "name": "down",
                "bind": ["system"],
                "fields": {"text": "{system!} is down in {city}, {n} cases", "label": "high"},
                "negatives": [
                    {"fields": {"text": "{system!} was down in {city}, {n} cases", "label": "low"}}
                ],
            },
            {"fields": {"text": "How do I use {system}? Case {n}", "label": "low"}},
        ],
    }
    return parse_rules({**base, **given})


def made(spec, count=30, seed=0, part=Split.TRAIN):
    return list(Maker(Book(spec), count, seed, part).rows())


def texts(rows, column="text"):
    return [row.fields[column] for row in rows]


@settings(max_examples=60)
@given(
    weights=st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any),
    total=st.integers(0, 200),
    seed=st.integers(0, 5),
)
def test_turns_are_exact_and_every_number_comes_once(weights, total, seed):
    turns = Turns(weights, total, seed)
    seen = Counter(turns.at(place) for place in range(total))
    assert set(seen.values()) <= {1}
    counts = Counter(turn.item for turn in seen)
    for item, weight in enumerate(weights):
        assert counts[item] == turns.counts[item]
        assert abs(counts[item] - weight * total / sum(weights)) < 1
        assert {turn.number for turn in seen if turn.item == item} == set(range(counts[item]))


def test_turns_are_spread_evenly():
    turns = Turns([1, 1], 1000)
    first = Counter(turns.at(place).item for place in range(20))
    assert abs(first[0] - 10) <= 2


def test_no_prompt_comes_twice_and_another_seed_makes_others():
    one, again, other = (texts(made(rules(), 200, seed)) for seed in (0, 0, 1))
    assert len(set(one)) == 200
    assert one == again != other


@settings(max_examples=10)
@given(stop=st.integers(1, 59), seed=st.integers(0, 3))
def test_interrupted_is_uninterrupted(tmp_path_factory, stop, seed):
    folder = tmp_path_factory.mktemp("rows")
    # Few different prompts, so that remembering the ones before matters.
    few = rules(
        rules=[
            {
                "fields": {"text": "{system} {city}", "label": "a"},
                "negatives": [{"fields": {"text": "no {city}", "label": "b"}, "share": 0.5}],
            }
        ]
    )

    calls = iter(range(99))

    def die(_count):
        if next(calls) == stop - 1:
            raise KeyboardInterrupt

    whole, broken = folder / "whole.jsonl", folder / "broken.jsonl"
    make_rows(few, whole, 60, seed=seed)
    with pytest.raises(KeyboardInterrupt):
        make_rows(few, broken, 60, seed=seed, progress=die)
    assert make_rows(few, broken, 60, seed=seed).resumed_at == stop
    assert broken.read_bytes() == whole.read_bytes()


def test_rows_say_where_they_come_from_and_negatives_name_their_parent(tmp_path):
    written = make_rows(rules(), tmp_path / "out.jsonl", 20)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert written.counts == {"down": 10, "rule 2": 10, "hard negatives": 10}
    ids = {origin_of(row).id for row in rows}
    for row in rows:
        origin = origin_of(row)
        assert origin.kind is RowKind.SYNTHETIC
        assert origin.recipe.startswith("tickets@")
        assert (origin.parent is None) == (origin.root == origin.id)
        assert origin.parent is None or origin.parent in ids
    twin = next(row for row in rows if origin_of(row).parent)
    parent = next(row for row in rows if origin_of(row).id == origin_of(twin).parent)
    assert twin["text"].split(" was ")[0] == parent["text"].split(" is ")[0]
    assert (twin["label"], parent["label"]) == ("low", "high")
    assert KEY in twin


def test_quotas_are_exact_for_constant_and_for_computed_answers():
    computed = {
        "bind": ["n"],
        "compute": {"label": "'high' if n >= 9000 else 'low'"},
        "fields": {"text": "pay {n}", "label": "{label}"},
    }
    spec = rules(rules=[computed], quotas={"high": 0.25, "low": 0.75})
    rows = made(spec, 80)
    assert Counter(row.fields["label"] for row in rows) == {"high": 20, "low": 60}
    assert all((int(r.fields["text"][4:]) >= 9000) == (r.fields["label"] == "high") for r in rows)
    weighted = rules(
        rules=[
            {
                "each": {"label": {"a": 3, "b": 1}},
                "fields": {"text": "{label} {n}", "label": "{label}"},
            }
        ]
    )
    assert Counter(row.fields["label"] for row in made(weighted, 40)) == {"a": 30, "b": 10}


def test_bound_values_stand_for_the_whole_row_and_slots_are_drawn_anew():
    spec = rules(
        rules=[{"bind": ["city"], "fields": {"text": "{city} {city} {n} {n}", "label": "{city}"}}]
    )
    for row in made(spec, 30):
        first, second, *_numbers = row.fields["text"].split()
        assert first == second == row.fields["label"]
    assert any(len(set(row.fields["text"].split())) == 3 for row in made(spec, 30))


def test_columns_of_a_record_belong_together(tmp_path):
    (tmp_path / "banks.csv").write_text('bank,fee\nNord {x},4\n"Süd (a|b)",7\n', "utf-8")
    spec = parse_rules(
        {
            "name": "t",
            "tables": {
                "bank": "banks.csv",
                "topic": [
                    {"value": "${fee}", "fact": "It is {value}."},
                    {"value": "{fee} days", "fact": "It takes {value}."},
                ],
            },
            "slots": {"fee": {"number": {"from": 1, "to": 999}}},
            "rules": [
                {
                    "bind": ["bank", "topic"],
                    "where": ["bank.fee > 5"],
                    "fields": {
                        "text": "{bank.bank} takes {bank.fee}. {topic.fact}",
                        "label": "{topic.value}",
                    },
                }
            ],
        },
        folder=tmp_path,
    )
    for row in made(spec, 20):
        assert row.fields["text"].startswith("Süd (a|b) takes 7. It ")
        assert row.fields["text"].endswith(f" {row.fields['label']}.")


def test_numbers_and_dates_keep_the_form_of_what_they_follow():
    spec = parse_rules(
        {
            "name": "t",
            "slots": {
                "sum": {
                    "number": {"from": 1, "to": 5000, "step": 0.01, "forms": ["${,}", "{} USD"]}
                },
                "day": {
                    "date": {
                        "from": "2026-12-01",
                        "to": "2026-12-31",
                        "forms": ["{d} {mon} {yyyy}"],
                    }
                },
            },
            "rules": [
                {
                    "bind": {"net": "sum", "issued": "day"},
                    "compute": {
                        "gross": {"value": "net * 1.19", "like": "net"},
                        "due": {"value": "issued + 30", "like": "issued"},
                        "days": "due - issued",
                    },
                    "fields": {
                        "text": "{net}; {gross}; {issued}; {due}; {days}",
                        "label": "x",
                    },
                }
            ],
        }
    )
    for row in made(spec, 20):
        net, gross, issued, due, days = row.fields["text"].split("; ")
        assert net.startswith("$") == gross.startswith("$")
        number = [float(t.strip("$ USD").replace(",", "")) for t in (net, gross)]
        assert number[1] == pytest.approx(number[0] * 1.19, abs=0.0051)
        assert days == "30"
        parsed = [date_of(text) for text in (issued, due)]
        assert (parsed[1] - parsed[0]).days == 30


def date_of(text):
    day, month, year = text.split()
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return date(int(year), months.index(month) + 1, int(day))


def test_spans_stand_where_they_say_also_inside_phrases():
    spec = rules(
        slots={
            "who": ["Ann", "王芳"],
            "sum": {"number": {"from": 1, "to": 99, "forms": ["{} EUR"]}},
            "ask": ["(Please |){pay} {sum} to {who}", "{who} gets {sum}"],
            "pay": ["pay", "send"],
        },
        rules=[
            {
                "bind": {"who": "who", "sum": "sum"},
                "fields": {
                    "text": "A urgent note: {ask!}",
                    "label": "{who}",
                    "entities": {"spans": "text", "of": {"who": "PER", "sum": "AMOUNT"}},
                },
            }
        ],
    )
    for row in made(spec, 40):
        spans = row.fields["entities"]
        by_type = {span["type"]: span["text"] for span in spans}
        assert by_type.keys() == {"AMOUNT", "PER"}
        assert by_type["PER"] == row.fields["label"]
        assert by_type["AMOUNT"].endswith(" EUR")
        for span in spans:
            assert row.fields["text"][span["start"] : span["end"]] == span["text"]


def test_articles_and_capitals():
    spec = rules(
        slots={"thing": ["order", "card"], "n": {"number": {"from": 1, "to": 99}}},
        rules=[{"bind": ["thing"], "fields": {"text": "{thing!} {n}: a {thing}", "label": "x"}}],
    )
    assert {text.split(" ", 2)[0] + text.partition(":")[2] for text in texts(made(spec, 40))} == {
        "Order an order",
        "Card a card",
    }


def test_parts_share_no_held_out_phrase_and_training_lacks_the_last_values():
    spec = rules(
        hold_out={"phrases": ["system"], "values": ["cit*"]},
        rules=[{"fields": {"text": "{system}/{city}/{n}", "label": "x"}}],
    )
    seen = {part: [t.split("/") for t in texts(made(spec, 300, part=part))] for part in Split}
    systems = {part: {words[0] for words in rows} for part, rows in seen.items()}
    assert {len(found) for found in systems.values()} == {4, 1}
    assert len(set().union(*systems.values())) == 6
    cities = {part: {words[1] for words in rows} for part, rows in seen.items()}
    assert cities[Split.TRAIN] == {f"city{n}" for n in range(30)}
    assert cities[Split.TEST] == {f"city{n}" for n in range(40)}


def test_conditions_choose_among_phrases():
    spec = rules(
        slots={
            "kind": ["loan", "card"],
            "ask": [
                {"say": "repay the {kind}", "when": "kind == 'loan'"},
                {"say": "block the {kind}", "when": "kind == 'card'"},
            ],
            "n": {"number": {"from": 1, "to": 999}},
        },
        rules=[{"bind": ["kind"], "fields": {"text": "{ask} {n}", "label": "{kind}"}}],
    )
    asked = {text.rsplit(" ", 1)[0] for text in texts(made(spec, 40))}
    assert asked == {"repay the loan", "block the card"}


def test_a_rule_that_is_used_up_says_so():
    spec = rules(rules=[{"fields": {"text": "{system}", "label": "x"}}])
    with pytest.raises(
        UsedUp, match=r"rule 1 made 6 rows and then none in 1,000 draws: mostly a pr"
    ):
        made(spec, 7)
    never = rules(rules=[{"bind": ["n"], "where": "n > 10000", "fields": {"label": "{n}"}}])
    with pytest.raises(UsedUp, match=r'made 0 rows .*mostly where "n > 10000"'):
        made(never, 1)


def book_of(**given):
    return Book(rules(**given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slots": {"a": ["{b}"], "b": ["x {a}"]}}, 'slot "b" contains itself: b -> a -> b'),
        (
            {"slots": {"b": ["{sytem}"], "system": ["x"]}},
            'unknown slot "sytem"; did you mean "system"?',
        ),
        (
            {"slots": {"b": ["{c}" * 60], "c": ["{d}" * 60], "d": ["{e}" * 60], "e": ["words"]}},
            "can grow over 20,000 characters",
        ),
        (
            {"slots": {"b": ["{s0}"]} | {f"s{n}": [f"{{s{n + 1}}}"] for n in range(2000)}},
            "phrases are nested over 100 deep",
        ),
        (
            {"tables": {"b": [{"x": "y"}]}},
            'table "b" is not bound; write "bind: [b]" and say "{b.x}"',
        ),
        ({"hold_out": {"phrases": ["b"]}, "slots": {"b": ["x"] * 5}}, "which has 5 phrases; 6 are"),
    ],
)
def test_names_that_mean_nothing_and_phrases_without_end(given, said):
    with pytest.raises(SpecError) as error:
        book_of(**{"slots": {}, "rules": [{"fields": {"text": "{b}", "label": "x"}}], **given})
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("columns", "rule", "said"),
    [
        (
            {"fee": "4"},
            {"fields": {"label": "{bank}"}},
            'say one of its columns, as in "{bank.fee}"',
        ),
        ({"fee": "4"}, {"where": "m > 1", "fields": {"label": "x"}}, 'unknown bound name "m"'),
        ({"a": "{b}", "b": "{a}"}, {"fields": {"label": "x"}}, "contains itself: a -> b -> a"),
    ],
)
def test_records_and_expressions_that_mean_nothing(columns, rule, said):
    with pytest.raises(SpecError) as error:
        book_of(tables={"bank": [columns]}, rules=[{"bind": ["bank"], **rule}])
    assert said in str(error.value)


def test_word_files(tmp_path):
    path = tmp_path / "w.txt"
    path.write_text("# note\n[ask]\npay (a|b) | send\nhelp\n[city]\nOslo\n", "utf-8")
    spec = rules(words=[path], rules=[{"fields": {"text": "{ask} {n}", "label": "x"}}])
    assert [entry.text for entry in Book(spec).entries["ask"]] == ["pay (a|b)", "send", "help"]
    assert len(Book(spec).entries["city"]) == 40  # the rules' own slots come before
    for text, said in [("x\n", "a phrase before any slot"), ("[a]\n[b]\nx", 'slot "a" has no phr')]:
        path.write_text(text)
        with pytest.raises(SpecError, match=said):
            book_of(words=[path])
    with pytest.raises(DataError, match="no words file"):
        book_of(words=[tmp_path / "none.txt"])


def test_other_words_are_another_recipe(tmp_path):
    path, digests = tmp_path / "w.txt", []
    for word in ("one", "two"):
        path.write_text(f"[w]\n{word}\n")
        digests.append(book_of(words=[path]).digest)
    assert digests[0] != digests[1]


def test_a_quota_that_no_rule_answers():
    with pytest.raises(
        SpecError, match='no rule answers "urgent", which has a quota; known: high, low'
    ):
        made(rules(quotas={"urgent": 1}))


def test_no_rows_cannot_be_made(tmp_path):
    with pytest.raises(SpecError, match='"0" rows cannot be made'):
        make_rows(rules(), tmp_path / "x.jsonl", 0)
