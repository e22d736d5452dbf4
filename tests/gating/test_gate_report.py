"""The model card, the page, JUnit's XML: whole, escaped, and readable by others."""

from xml.etree import ElementTree

import pytest

from pretune.core.promise import Promise
from pretune.evaluation.goals import Outcome
from pretune.gating.evidence import (
    Bin,
    Calibration,
    Evidence,
    Forgetting,
    Load,
    Measure,
    Perturbed,
    Safety,
)
from pretune.gating.report.junit import render_junit
from pretune.gating.report.render import reliability, render_card, render_page
from registry.cases import evidence_of, make

HALF = Measure(value=0.5, low=0.4, high=0.6, n=10)
NASTY = "a|b <script>x</script> & \x00\x1b\ud83d [x](y)"


@pytest.fixture
def evidence(tmp_path):
    goals = ["accuracy >= 0.8", {"goal": "accuracy > 0.9", "slice": {"team": NASTY[:24]}}]
    version = make(tmp_path, "desk", 0, goals=goals).version
    made = evidence_of(
        version,
        "fail",
        metrics={"accuracy": HALF},
        slices={"accuracy where team = a|b": HALF},
        calibration=Calibration(
            ece=HALF, bins=(Bin(low=0.4, high=0.5, rows=4, confidence=0.45, right=0.25),)
        ),
        robustness=(
            Perturbed(name="typos", says="mistakes", before=0.5, after=0.4, drop=HALF),
            Perturbed(name="context", says="more", reason="there is nothing to change"),
        ),
        forgetting=Forgetting(base=10.0, adapter=11.0, ratio=HALF),
        safety=(
            Safety(kind="flip", says="orders", share=HALF, base=0.25, failed=("flip:1",)),
            Safety(kind="leak", says="questions", reason="answers are labels"),
        ),
        served=(
            Load(
                rps=20.0, sent=10, failed=1, seconds=1.0, carried=9.0, memory=10**9,
                measures={"p99_latency_ms": HALF.model_copy(update={"high": None})},
            ),
        ),
        sizes={"adapter_mb": 0.5},
    )  # fmt: skip
    checks = (*made.checks, made.checks[0].model_copy(update={"outcome": Outcome.UNDECIDED}))
    return made.model_copy(
        update={"checks": tuple(c.model_copy(update={"reason": NASTY}) for c in checks)}
    )


def test_the_card_says_all_that_was_measured(evidence):
    card = render_card(evidence)
    for words in (
        "# desk: fail",
        "accuracy >= 0.8 | fail",
        "0.40 to 0.50 | 4 | 0.450 | 0.250",
        "context: more | – | – | there is nothing to change",
        "ratio 0.5 [0.4, 0.6]",
        "requests to the base never meet it and lose nothing",
        "flip: orders | 0.5 [0.4, 0.6] over 10 | 0.250 | flip:1",
        "not asked: answers are labels",
        "p99_latency_ms | 0.5 [0.4, no bound]",
        "at random times: 10 sent, 1 failed",
        "adapter_mb | 0.5",
    ):
        assert words in card, words
    assert "a\\|b \\<script>" in card, "a reason breaks no table"
    everywhere = render_card(evidence.model_copy(update={"scope": "all"}))
    assert "this is what the base has forgotten" in everywhere


def test_the_page_is_one_escaped_file(evidence):
    page = render_page(evidence)
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    assert "no bound" in page
    assert page.count("<svg") == 1
    bare = evidence.model_copy(
        update={"calibration": None, "robustness": (), "safety": (), "forgetting": None,
                "served": (), "sizes": {}, "checks": ()}
    )  # fmt: skip
    assert "the task has no goals" in render_page(bare)
    assert "the task has no goals" in render_card(bare)


def test_a_promise_of_privacy_stands_in_the_card_and_on_the_page(tmp_path):
    evidence = evidence_of(make(tmp_path, "desk", 0).version)
    assert "privacy" not in render_card(evidence) + render_page(evidence)
    assert '"privacy"' not in evidence.file().decode(), "older evidence keeps its digest"
    private = evidence.model_copy(update={"privacy": Promise(8, 1e-5, 0.1, 0.9, 0.1, 40, "a test")})
    said = "epsilon 8, delta 1e-05, for one training row more or less"
    assert f"| privacy | {said} |" in render_card(private)
    assert f"privacy: {said}." in render_page(private)
    assert Evidence.model_validate_json(private.file()) == private


def test_bars_stand_where_the_shares_are(evidence):
    (bar,) = reliability(evidence.calibration).bars
    plot = reliability(evidence.calibration)
    assert bar.y + bar.height == pytest.approx(plot.floor)
    assert bar.height == pytest.approx(0.25 * (plot.floor - plot.top))
    assert bar.x < bar.dot_x < bar.x + bar.width


def test_junit_is_xml_with_a_case_for_each_check(evidence):
    text = render_junit(evidence)
    suite = ElementTree.fromstring(text.encode()).find("testsuite")
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3", "failures": "2", "errors": "1",
    }  # fmt: skip
    cases = suite.findall("testcase")
    assert cases[0].get("name") == "accuracy >= 0.8"
    assert cases[0].find("failure").get("message").startswith("a|b <script>")
    assert cases[2].find("error").get("type") == "undecided"
    passed = evidence_of_pass(evidence)
    (case,) = ElementTree.fromstring(render_junit(passed).encode()).iter("testcase")
    assert case.find("system-out").text == "fine"


def evidence_of_pass(evidence):
    check = evidence.checks[0].model_copy(update={"outcome": Outcome.PASS, "reason": "fine"})
    return evidence.model_copy(update={"checks": (check,)})
