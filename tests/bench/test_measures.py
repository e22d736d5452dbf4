"""Every measure runs on a small work, and yields the figures that it is listed with."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.conftest import TINY
from pretune.bench import figures, run
from pretune.bench.figures import TARGETS, Figure
from pretune.bench.measures import measures
from pretune.bench.page import figure_row, render, render_plot, throughput_plot
from pretune.bench.run import Results, chosen
from pretune.core.errors import PretuneError, SpecError, UnknownName

OWN = ("tasks", "registered", "document", "http", "cold", "scopes", "roofline")


@pytest.mark.parametrize("name", OWN)
def test_a_measure_yields_its_figures(stand, name):
    measure, shares = measures()[name], []
    found = measure.run(stand, shares.append)
    assert {one.name for one in found} >= set(measure.figures)
    for one in found:
        assert one.reason is None
        assert one.low <= one.value <= one.high
        json.dumps(one.details)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_other_seeds_are_other_prompts(stand):
    """Or a later prompt is found in the cache of an earlier one, and its prefill costs nothing."""
    drawn = [stand.ids(8, seed, number) for seed in range(-9, 9) for number in range(4)]
    assert len(set(drawn)) == len(drawn)


def test_every_promise_has_a_measure():
    assert {name for one in measures().values() for name in one.figures} >= set(TARGETS)


def test_decode_of_tasks_holds_no_adapter(stand):
    found = {one.name: one for one in measures()["tasks"].run(stand, lambda _: None)}
    assert found["adapter_bytes_in_decode"].value == 0
    (cold,) = measures()["cold"].run(stand, lambda _: None)
    assert cold.details["loads"] > TINY.traffic.slots


def test_peft_computes_the_same_work(stand):
    (found,) = measures()["peft"].run(stand, lambda _: None)
    assert found.reason is None
    points = {(one["engine"], one["tasks"]) for one in found.details["points"]}
    assert points == {(engine, n) for engine in ("pretune", "PEFT") for n in TINY.peer_tasks}


def test_transformers_computes_the_same_work(stand):
    (found,) = measures()["transformers"].run(stand, lambda _: None)
    assert found.reason is None
    (round_,) = found.details["rounds"][-1:]
    assert round_["first_tokens_alike"] > 0.5
    assert len(found.details["rounds"]) == TINY.repeats


def test_an_absent_peer_is_told_with_the_reason(stand, tmp_path):
    for one in measures()["vllm"].run(stand, lambda _: None):
        assert one.value is None
        assert "--vllm-python" in one.reason
    with pytest.raises(SpecError, match="is no file"):
        measures(tmp_path / "missing")


def test_a_peer_that_ends_by_itself_leaves_its_last_words(stand):
    # This interpreter has no vLLM: the script fails where it imports it.
    known = measures(Path(sys.executable))
    results = run.run(TINY, {"vllm": known["vllm"]}, lambda _name, _share: None)
    record = results.record()
    assert record["base_vs_vllm"] is None
    assert "No module named 'vllm'" in record["reasons"]["base_vs_vllm"]
    assert record["reasons"]["http_overhead"] == "not asked for"


def test_names_of_figures_and_of_measures_choose():
    known = measures()
    assert list(chosen(known, ())) == list(known)
    assert list(chosen(known, ["step_vs_floor", "http"])) == ["tasks", "http"]
    with pytest.raises(UnknownName, match='did you mean "http"'):
        chosen(known, ["htp"])


def test_a_promise_is_kept_or_not():
    assert Figure("base_vs_vllm", 0.9).met
    assert Figure("base_vs_vllm", 0.89).met is False
    assert Figure("step_vs_floor", 1.26).met is False
    assert Figure.absent("step_vs_floor", "why").met is None
    assert Figure("prompt_vs_all_8", 2.0).met is None


def test_the_page_needs_nothing_else():
    points = [
        {"engine": engine, "tasks": tasks, "tokens_per_s": speed}
        for engine, speeds in (("pretune", (100, 99)), ("PEFT", (50, 10)))
        for tasks, speed in zip((1, 32), speeds, strict=True)
    ]
    results = Results(
        TINY,
        {"processor": "<b>"},
        [
            Figure.of("speedup_vs_peft_32", [9.0, 9.9, 12.0], points=points),
            Figure.absent("base_vs_vllm", "no interpreter"),
        ],
    )
    page = render(results)
    assert page.count("<polyline") == 2
    assert "&lt;b&gt;" in page
    assert not re.search(r"<script|https?://|<link", page)
    row = figure_row(results.figures[0])
    assert row[:5] == ("speedup_vs_peft_32", "9.900", "9.000 to 12", ">= 10", "fail")
    assert figure_row(results.figures[1]).verdict == "not measured"
    plot = throughput_plot(results.figures)
    assert [tick.text for tick in plot.x_ticks] == ["1", "32"]
    assert throughput_plot([]) is None
    assert render_plot([]) is None
    picture = ElementTree.fromstring(render_plot(results.figures))
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert picture.get("aria-label").endswith("1, 32 tasks: pretune 100, 99; PEFT 50, 10")
    assert figures.milliseconds([0.1, 0.2, 0.4]) == 200.0


def test_what_is_there_is_kept_after_each_measure(stand):
    known, kept = measures(), []

    def interrupted(_stand, _tell):
        raise KeyboardInterrupt

    selected = {"tasks": known["tasks"], "http": known["http"]._replace(run=interrupted)}
    with pytest.raises(KeyboardInterrupt):
        run.run(TINY, selected, lambda *_: None, keep=lambda found: kept.append(found.record()))
    assert kept[-1]["step_vs_floor"] is not None
    assert kept[-1]["step_vs_packed_floor"] is not None
    assert kept[-1]["reasons"]["http_overhead"] == "not asked for"


def test_a_measure_that_fails_leaves_the_others(stand):
    def broken(_stand, _tell):
        raise PretuneError("out of luck")

    known = {name: measures()[name]._replace(run=broken) for name in ("http", "document")}
    record = run.run(TINY, known, lambda _name, _share: None).record()
    assert record["reasons"]["http_overhead"] == "out of luck"
