"""A rules file: read, and refused in the user's words."""

import pytest

from pretune.core.errors import SpecError
from pretune.spec.rules import load_rules, parse_rules

RULE = {"fields": {"text": "hi {x}", "label": "a"}}


def parse(**given):
    return parse_rules({"name": "t", "rules": [RULE], "slots": {"x": ["y"]}, **given})


def test_short_forms_mean_the_long_ones():
    short = parse(
        slots={"x": ["a", {"say": "b", "weight": 2}]},
        rules=[
            {
                "each": {"label": ["low", "high"]},
                "bind": ["x"],
                "compute": {"y": "1 + 1"},
                "where": "y > 1",
                "fields": {"text": "{x}", "label": "{label}", "n": 5},
            }
        ],
    )
    rule = short.rules[0]
    assert short.slots["x"].phrases[1].weight == 2
    assert (rule.each, rule.bind) == ({"label": {"low": 1, "high": 1}}, {"x": "x"})
    assert (rule.compute["y"].value, rule.where) == ("1 + 1", ("y > 1",))
    assert rule.fields["n"] == "5"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slot": {}}, 'unknown key "slot"; did you mean "slots"?'),
        ({"rules": []}, "rules: tuple should have at least 1 item"),
        ({"target": "answer"}, 'rule 1 has no field "answer", the answer; add it'),
        ({"slots": {"x": [True]}}, "was read by YAML as a truth value; put text in quotes"),
        ({"slots": {"x": {}}}, "a slot has one source and this has 0"),
        ({"slots": {"x": {"number": {"from": 3, "to": 1}}}}, 'no number lies from "3" to "1"'),
        ({"slots": {"x": {"number": {"from": 1, "to": 3, "forms": ["$"]}}}}, "no place for the n"),
        (
            {"slots": {"x": {"date": {"from": "2026-01-02", "to": "2026-01-01"}}}},
            'no day lies from "2026-01-02" to "2026-01-01"',
        ),
        (
            {
                "slots": {
                    "x": {"date": {"from": "2026-01-01", "to": "2026-01-02", "forms": ["{Y}"]}}
                }
            },
            'form "{Y}" names "Y"; known: d, dd',
        ),
        ({"slots": {"x": ["{"]}}, '"{" without its partner'),
        ({"tables": {"x": [{"a": "b"}]}}, '"x" is a slot and a table; rename one'),
        ({"tables": {"t": [{"a": "b"}, {"c": "d"}]}}, 'table "t" needs rows of the same columns'),
        ({"quotas": {"a": -1}}, "quotas are shares above 0"),
        ({"rules": [{**RULE, "where": "import os"}]}, '"import os" is no expression'),
        (
            {"rules": [{**RULE, "negatives": [{"fields": {"z": "y"}}]}]},
            'changes "z", which its rule',
        ),
        ({"rules": [{"fields": {"label": "a", "_origin": "b"}}]}, "a row's origin stands"),
        (
            {"rules": [{"fields": {"label": "a", "s": {"spans": "txt", "of": ["x"]}}}]},
            'lists spans of "txt", which is no text field',
        ),
    ],
)
def test_refused(given, said):
    with pytest.raises(SpecError) as error:
        parse(**given)
    assert said in str(error.value)


def test_a_missing_file_and_a_file_without_rules(tmp_path):
    (tmp_path / "tickets.rules.yaml").write_text("- a\n")
    with pytest.raises(SpecError, match=r'no rules file .*did you mean "tickets.rules.yaml"'):
        load_rules(tmp_path / "ticket.rules.yaml")
    with pytest.raises(SpecError, match='keys such as "slots:" and "rules:"'):
        load_rules(tmp_path / "tickets.rules.yaml")


def test_the_name_is_the_files_and_paths_are_beside_it(tmp_path):
    path = tmp_path / "tickets.rules.yaml"
    path.write_text("words: w.txt\ntables: {t: t.csv}\nrules: [{fields: {label: a}}]\n")
    rules = load_rules(path)
    assert rules.name == "tickets"
    assert rules.words == (tmp_path / "w.txt",)
    assert rules.tables["t"] == tmp_path / "t.csv"
