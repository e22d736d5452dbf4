"""The check finds what is wrong with rules, and nothing where all is well."""

from pretune.data.rules.check import check_rules
from pretune.data.rules.report import Fault
from pretune.spec.rules import parse_rules


def check(slots, *rules, **given):
    value = {"name": "t", "slots": slots, "rules": list(rules), **given}
    return check_rules(parse_rules(value), draws=600)


def found(report, fault):
    return [one.said for one in report.findings if one.fault is fault]


THINGS = [f"thing {n}" for n in range(12)]


def test_conditions_that_never_hold():
    report = check(
        {"n": {"number": {"from": 1, "to": 9}}},
        {"bind": ["n"], "where": "n > 9", "fields": {"text": "{n}", "label": "a"}},
        {"fields": {"text": "{n}!", "label": "b"}},
    )
    assert report.contradictions == ['rule 1: where "n > 9" failed in 300 of 300 draws']


def test_one_prompt_with_two_answers():
    report = check(
        {"thing": THINGS},
        {"name": "first", "fields": {"text": "buy {thing}", "label": "yes"}},
        {"name": "second", "fields": {"text": "buy {thing}", "label": "no"}},
    )
    (said,) = report.contradictions
    assert said == '12 prompts are answered both "no" by second and "yes" by first'


def test_a_hard_negative_with_its_rows_prompt_contradicts_it():
    report = check(
        {"thing": THINGS},
        {
            "bind": ["thing"],
            "fields": {"text": "buy {thing}", "label": "yes"},
            "negatives": [{"fields": {"label": "no"}}],
        },
    )
    assert len(report.contradictions) == 1


def test_what_is_never_said():
    report = check(
        {
            "kind": ["loan", "card"],
            "ask": ["pay {kind}", {"say": "sell {kind}", "when": "kind == 'house'"}],
            "left": ["over"],
        },
        {"bind": ["kind"], "fields": {"text": "{ask}", "label": "{kind}"}},
    )
    assert found(report, Fault.UNREACHABLE) == [
        '"left" is never said by any rule',
        'number 2 of "ask" was never taken in 600 draws',
    ]
    assert report.slots["ask"] == 0.5


def test_pairs_that_never_meet():
    report = check(
        {
            "kind": ["loan", "card"],
            "ask": [
                {"say": "pay", "when": "kind == 'loan'"},
                {"say": "block", "when": "kind == 'card'"},
            ],
        },
        {"bind": ["kind"], "fields": {"text": "{ask} {kind}", "label": "{kind}"}},
    )
    assert found(report, Fault.COVERAGE) == [
        '2 of 4 pairs of "ask" and "kind" never stand together'
    ]
    assert report.pairs["ask", "kind"] == 0.5


def phrasings(word, count=15):
    return [f"{word} phrasing number{n} of it" for n in range(count)]


def test_words_that_give_the_answer_away():
    report = check(
        {"good": phrasings("gain"), "bad": phrasings("loss")},
        {"each": {"label": ["good", "bad"]}, "bind": {"ask": "{label}"},
         "fields": {"text": "{ask}", "label": "{label}"}},
    )  # fmt: skip
    assert report.probe.accuracy == 1.0
    said = found(report, Fault.LEAKAGE)
    assert "single words solve the task: 100.0% right" in said[0]
    assert '"gain" (100%)' in said[2] + said[1]


def test_words_in_every_label_do_not():
    both = [f"{a} not {b}" for a, b in [("gain", "loss"), ("loss", "gain")]]
    report = check(
        {
            "good": [f"{both[0]} number{n}" for n in range(15)],
            "bad": [f"{both[1]} number{n}" for n in range(15)],
        },
        {"each": {"label": ["good", "bad"]}, "bind": {"ask": "{label}"},
         "fields": {"text": "{ask}", "label": "{label}"}},
    )  # fmt: skip
    assert report.probe.accuracy < 0.7
    assert not report.findings


def test_quotas_and_answers_that_do_not_fit():
    rule = {
        "bind": ["n"],
        "compute": {"label": "'odd' if n % 2 == 1 else 'even'"},
        "fields": {"text": "{n}", "label": "{label}"},
    }
    slots = {"n": {"number": {"from": 0, "to": 99}}}
    report = check(slots, rule, quotas={"odd": 1, "never": 1})
    assert report.contradictions == ['no draw is answered "never", which has a quota']
    assert found(report, Fault.COVERAGE) == ['answer "even" has no quota, so it is never made']


def test_the_report_is_for_people_and_programs():
    import json

    from rich.console import Console

    report = check({"thing": THINGS}, {"fields": {"text": "{thing} [x]", "label": "a"}})
    assert json.loads(json.dumps(report.to_dict()))["rules"]["rule 1"]["different"] == 12
    console = Console(width=100)
    with console.capture() as shown:
        console.print(report.render())
    assert "[x]" in shown.get()
