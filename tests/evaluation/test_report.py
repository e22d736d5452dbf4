import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pretune.core.errors import DataError, StorageError
from pretune.core.promise import Promise
from pretune.core.records import Prediction
from pretune.evaluation.evaluate import measure
from pretune.evaluation.goals import check_goals
from pretune.evaluation.intervals import Interval
from pretune.evaluation.report import Report, RunSummary, read_loss, render_html, render_markdown
from pretune.evaluation.report.plots import MOST_HEAT_LABELS, MOST_POINTS, heat_map, loss_plot
from pretune.evaluation.tables import Confusion
from pretune.spec.goals import Goal

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=y> | `a` [b](javascript:c)\n# d"
VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """Tags of a page, which must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(labelled, text: str = "plain") -> Report:
    """Two runs of one task; ``text`` stands wherever a user's text can stand."""
    measured = measure(
        text, labelled([(text, text)] * 30 + [("b", text), ("b", None)]), ["macro_f1"]
    )
    tuned = RunSummary(
        text,
        f"prad {text}",
        {**measured.metrics, text: Interval(0.5, 0.4, 0.6, 32)},
        trainable_parameters=412_000,
        adapter_bytes=830_000,
        train_seconds=93,
        peak_memory_bytes=850 << 20,
        loss=tuple((step, 3 / step) for step in range(1, 500)),
        labels=measured.labels,
        confusions=measured.confusions,
    )
    base = RunSummary(text, f"base {text}", {"macro_f1": Interval(0.3, 0.2, 0.4, 32)})
    goals = check_goals([Goal(metric="macro_f1", op=">=", threshold=0.2)], measured.metrics)
    samples = {text: [Prediction(f"{text}:1", text, (text,))]}
    return Report(text, [base, tuned], subtitle=text, goals={text: goals}, samples=samples)


def test_a_page_holds_every_part(labelled):
    page = render_html(report(labelled))
    for part in ("Results", "All metrics", "Training", "Cost", "Labels"):
        assert f"<h2>{part}</h2>" in page
    for value in ("412 k", "811 KiB", "1 min 33 s", "850 MiB", "1 of 1", "0.300", "0.200–0.400"):
        assert value in page
    assert Page(page).tags.count("svg") == 3  # a forest, a loss plot, a heat map
    assert '<span class="chip pass">pass</span><code>macro_f1 &gt;= 0.2</code>' in page


@pytest.mark.parametrize("text", ["plain", HOSTILE])
def test_a_page_is_well_formed_and_needs_nothing_else(labelled, text):
    page = render_html(report(labelled, text), with_samples=True)
    parsed = Page(page)
    assert parsed.open == []
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(parsed.tags)
    names = {name for name, _ in parsed.attributes}
    assert {"src", "href", "onerror"}.isdisjoint(names)


def test_hostile_text_is_shown_and_not_run(labelled):
    page = render_html(report(labelled, HOSTILE), with_samples=True)
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page


def test_hostile_text_is_text_in_markdown(labelled):
    text = render_markdown(report(labelled, HOSTILE), with_samples=True)
    assert re.search(r"(?<!\\)<script", text) is None
    assert re.search(r"(?<!\\)\[b\]", text) is None
    assert not any(line.strip().startswith("# d") for line in text.splitlines())
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line[:1] == "|"}
    assert bars == {5, 6, 7}  # tables of four, five and six columns, and no broken row


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_samples_are_shown_only_if_asked(labelled, render):
    whole = report(labelled)
    whole.samples["plain"].append(Prediction("rows.jsonl:77", "a private answer", ("right",)))
    assert "private" not in render(whole)
    assert "a private answer" in render(whole, with_samples=True)
    assert "rows.jsonl:77" in render(whole, with_samples=True)


def test_markdown_by_its_lines(labelled):
    lines = render_markdown(report(labelled)).splitlines()
    assert lines[0] == "# plain"
    assert "| task | metric | base plain | prad plain |" in lines
    assert "| plain | plain | – | 0.500 [0.400, 0.600] |" in lines
    assert "| plain | base plain | – | – | – | – |" in lines
    assert "| plain | prad plain | 412 k | 811 KiB | 1 min 33 s | 850 MiB |" in lines
    assert any(line.startswith("| plain | macro_f1 >= 0.2 | pass |") for line in lines)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_a_promise_of_privacy_is_shown_where_there_is_one(labelled, render):
    plain = report(labelled)
    assert "privacy" not in render(plain)
    base, tuned = plain.runs
    promise = Promise(7.991, 1e-5, 0.1, 0.9, 0.1, 40, "a test")
    private = replace(plain, runs=[base, replace(tuned, privacy=promise)])
    said = "plain, prad plain: its training promises privacy: epsilon 8, delta 1e-05, for one "
    assert render(private).count(said) == 1


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_one_untuned_run_is_a_report(render):
    text = render(Report("Base", [RunSummary("qa", "base", {"bleu": Interval(0, 0, 0, 5)})]))
    assert "Training" not in text
    assert "Labels" not in text


def test_an_empty_report_is_refused():
    with pytest.raises(DataError, match="the report has no runs"):
        render_html(Report("Empty", []))
    with pytest.raises(DataError, match='run "base" of task "qa" has no metrics'):
        render_markdown(Report("Empty", [RunSummary("qa", "base", {})]))


def test_long_curves_are_thinned_and_keep_their_mean():
    run = RunSummary("t", "prad", {}, loss=tuple((i, float(i % 2)) for i in range(10_000)))
    plot = loss_plot([run], {"prad": 0})
    points = plot.curves[0].points.split()
    assert MOST_POINTS / 2 < len(points) <= MOST_POINTS
    assert plot.curves[0].last == pytest.approx(0.5, abs=0.1)
    assert loss_plot([RunSummary("t", "base", {})], {"base": 0}) is None


def test_a_large_heat_map_keeps_the_confused_labels():
    right = [Confusion(f"label {i:02}", f"label {i:02}", 5) for i in range(40)]
    plot = heat_map([*right, Confusion("label 30", "label 31", 3), Confusion("label 32", "", 1)])
    names = [row.text for row in plot.rows]
    assert len(names) == MOST_HEAT_LABELS
    assert {"label 30", "label 31", "label 32"} <= set(names)
    assert plot.columns[-1].text == "no label"
    # 3 of the 8 rows of label 30.
    (cell,) = [one for one in plot.cells if (one.gold, one.answered) == ("label 30", "label 31")]
    assert cell.share == 3 / 8
    assert heat_map([]) is None


def test_losses_are_read_from_a_log(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [
        {"step": 1, "loss": 2.5},
        {"kind": "train.step", "step": 2, "values": {"loss": 2.0}},
        {"kind": "eval.done", "step": 2, "values": {"accuracy": 0.5}},
        {"step": 3, "loss": float("nan")},
    ]
    log.write_text("\n".join(map(json.dumps, lines)))
    assert read_loss(log) == ((1, 2.5), (2, 2.0))


def test_a_broken_log_is_refused_by_its_line(tmp_path):
    log = tmp_path / "log.jsonl"
    for broken in ("{", "[]", "3"):
        log.write_text(f'{{"step": 1}}\n{broken}')
        with pytest.raises(StorageError, match=r'log.jsonl:2" is no JSON object'):
            read_loss(log)
    with pytest.raises(StorageError, match="cannot read the log"):
        read_loss(tmp_path / "none.jsonl")
