import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from seqeval.metrics import f1_score as seqeval_f1
from sklearn.metrics import f1_score

from pretune.core.errors import DataError, UnknownName
from pretune.core.records import Prediction
from pretune.evaluation.metrics import get_metric, get_metrics, metric_names
from pretune.evaluation.metrics.entity_f1 import entity_tags, parse_entities
from pretune.evaluation.metrics.metric import Metric, register
from pretune.evaluation.metrics.text import normalise

LABEL_METRICS = ("accuracy", "macro_f1", "micro_f1")
TEXT_METRICS = ("bleu", "chrf", "entity_f1", "exact_match", "rouge_1", "rouge_2", "rouge_l")

ENGLISH = [
    ("the cat sat on the mat", "the cat sat on a mat"),
    ("a dog barks at night", "the dog barks loudly at night"),
    ("Prefill writes the cache, decode reads it.", "Prefill writes the cache; decode reads it."),
]
NO_FOUR_IN_A_ROW = [("the cat sat alone on it", "the cat sat there on a mat")]
CHINESE = [
    ("银行下调了存款利率", "银行今天下调了存款利率"),
    ("公司发布年报", "公司昨日发布了年度报告"),
]

pairs_of_labels = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", "d", None])),
    min_size=1,
    max_size=40,
)
text = st.text(alphabet="ab ，。银行:;PER,", max_size=20)
pairs_of_texts = st.lists(st.tuples(text, text.filter(str.strip)), min_size=1, max_size=8)


def test_every_metric_is_tested_here():
    assert sorted(LABEL_METRICS + TEXT_METRICS) == list(metric_names())


def test_an_unknown_metric_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match=r'unknown metric "macrof1"; did you mean "macro_f1"\?'):
        get_metric("macrof1")


def test_a_name_given_twice_is_measured_once():
    assert [one.name for one in get_metrics(["bleu", "chrf", "bleu"])] == ["bleu", "chrf"]


def test_a_second_registration_of_a_name_is_refused():
    with pytest.raises(ValueError, match='"accuracy" is registered twice'):
        register(type(get_metric("accuracy")))


@pytest.mark.parametrize("name", metric_names())
def test_no_predictions_is_an_error(name):
    with pytest.raises(DataError, match=f'metric "{name}" has no predictions'):
        get_metric(name).corpus([])


@pytest.mark.parametrize("name", LABEL_METRICS)
def test_a_row_without_a_label_is_named_and_its_text_is_not(name, labelled):
    rows = [*labelled([("a", "a")]), Prediction("rows.jsonl:9", "secret", ("secret",))]
    with pytest.raises(DataError, match=r'row "rows.jsonl:9" has none; add "labels:"') as caught:
        get_metric(name).corpus(rows)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_a_row_without_a_reference_is_named(name):
    with pytest.raises(DataError, match=r'row "rows.jsonl:9" has none; add one'):
        get_metric(name).corpus([Prediction("rows.jsonl:9", "text", ())])


# Laws of every metric


def law_of_metric(metric: Metric, rows: list[Prediction]) -> None:
    """In 0..1; the same for any order of rows; doubling the rows keeps the value; batches mix."""
    value = metric.corpus(rows)
    assert 0 <= value <= 1 + 1e-9
    assert metric.corpus(rows[::-1]) == pytest.approx(value, abs=1e-12)
    statistics = metric.statistics(rows)
    totals = np.stack([statistics.sum(axis=0), statistics[0]])
    values = metric.value(totals)
    assert values.shape == (2,)
    assert values[0] == pytest.approx(value, abs=1e-12)


@given(pairs_of_labels)
def test_laws_of_label_metrics(labelled, pairs):
    for metric in get_metrics(LABEL_METRICS):
        law_of_metric(metric, labelled(pairs))


@given(pairs_of_texts)
def test_laws_of_text_metrics(written, pairs):
    for metric in get_metrics(TEXT_METRICS):
        law_of_metric(metric, written(pairs))


@pytest.mark.parametrize("name", [name for name in TEXT_METRICS if name != "entity_f1"])
def test_perfect_answers_score_one_and_wrong_ones_zero(name, written):
    # Four words at least, as BLEU-4 has nothing to count in fewer.
    texts = ["the cat sat on the mat", "银行下调了存款利率"]
    metric = get_metric(name)
    assert metric.corpus(written([(one, one) for one in texts])) == pytest.approx(1)
    assert metric.corpus(written([("zzz", one) for one in texts])) == pytest.approx(0, abs=1e-9)


# Labels


def test_accuracy_by_hand(labelled):
    # 2 of 4 rows are right; an answer that means no known label is a row like the others.
    rows = labelled([("a", "a"), ("a", "b"), ("b", "b"), ("b", None)])
    assert get_metric("accuracy").corpus(rows) == 0.5


def test_f1_by_hand(labelled):
    rows = labelled([("a", "a"), ("a", "b"), ("b", "b"), ("b", None)])
    # a: hits 1, predicted 1, right 2: F1 2/3. b: hits 1, predicted 2, right 2: F1 2/4.
    assert get_metric("macro_f1").corpus(rows) == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Together: hits 2, predicted 3, right 4: F1 4/7.
    assert get_metric("micro_f1").corpus(rows) == pytest.approx(4 / 7)


@given(pairs_of_labels)
def test_f1_agrees_with_scikit_learn(labelled, pairs):
    rows = labelled(pairs)
    gold = [right for right, _ in pairs]
    answered = [answer or "" for _, answer in pairs]
    for name, average, labels in (
        ("macro_f1", "macro", sorted(set(gold))),
        ("micro_f1", "micro", ["a", "b", "c", "d"]),
    ):
        expected = f1_score(gold, answered, labels=labels, average=average, zero_division=0)
        assert get_metric(name).corpus(rows) == pytest.approx(expected)


@given(pairs_of_labels, st.data())
def test_macro_f1_of_a_resample_is_that_of_its_own_rows(labelled, pairs, data):
    metric, rows = get_metric("macro_f1"), labelled(pairs)
    drawn = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=20))
    totals = metric.statistics(rows)[drawn].sum(axis=0)
    assert metric.value(totals) == pytest.approx(metric.corpus([rows[i] for i in drawn]))


@given(pairs_of_labels)
def test_micro_f1_is_accuracy_where_every_answer_is_a_label(labelled, pairs):
    rows = labelled([(gold, answer or "a") for gold, answer in pairs])
    assert get_metric("micro_f1").corpus(rows) == pytest.approx(get_metric("accuracy").corpus(rows))


# Text


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Yes.", "yes"),
        ("  many   spaces ", "many spaces"),
        ("ＡＢＣ１２３", "abc123"),
        ("是，可以。", "是,可以"),
        ("利率 下调", "利率下调"),
        ("“引用”", '"引用"'),
    ],
)
def test_exact_match_overlooks_form(text, reference, written):
    assert get_metric("exact_match").corpus(written([(text, reference)])) == 1


@pytest.mark.parametrize(
    ("text", "reference"), [("yes no", "yesno"), ("不是", "是"), ("1.5", "15")]
)
def test_exact_match_does_not_overlook_content(text, reference, written):
    assert get_metric("exact_match").corpus(written([(text, reference)])) == 0


def test_exact_match_takes_any_reference():
    assert get_metric("exact_match").corpus([Prediction("r:1", "b", ("a", "B"))]) == 1


@given(st.text(alphabet="aB 1.,，。“”（）Ａ银行\n"))
def test_a_normal_form_is_its_own_normal_form(text):
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("pairs", "tokenizer"), [(ENGLISH, "13a"), (NO_FOUR_IN_A_ROW, "13a"), (CHINESE, "zh")]
)
def test_bleu_is_sacrebleus(pairs, tokenizer, written):
    expected = BLEU(tokenize=tokenizer).corpus_score(
        [answer for answer, _ in pairs], [[reference for _, reference in pairs]]
    )
    assert 0.05 < expected.score / 100 < 1
    assert get_metric("bleu").corpus(written(pairs)) == pytest.approx(expected.score / 100)


@pytest.mark.parametrize("pairs", [ENGLISH, CHINESE])
def test_chrf_is_sacrebleus(pairs, written):
    expected = CHRF().corpus_score(
        [answer for answer, _ in pairs], [[reference for _, reference in pairs]]
    )
    assert 0.05 < expected.score / 100 < 1
    assert get_metric("chrf").corpus(written(pairs)) == pytest.approx(expected.score / 100)


def test_several_references_are_sacrebleus():
    rows = [
        Prediction("r:1", "the cat sat on the mat", ("a cat sat on a mat", "the cat sat here")),
        Prediction("r:2", "dogs bark at night", ("dogs bark at night often",)),
    ]
    # None stands for a reference that the second row does not have.
    streams = [["a cat sat on a mat", "dogs bark at night often"], ["the cat sat here", None]]
    answers = [row.text for row in rows]
    for name, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
        expected = scorer.corpus_score(answers, streams).score / 100
        assert get_metric(name).corpus(rows) == pytest.approx(expected)


def test_rouge_by_hand(written):
    # 4 of 5 tokens match in order, 5 tokens each: F 0.8; 3 of 4 pairs; longest subsequence 4.
    rows = written([("the cat sat down here", "the cat sat down there")])
    assert get_metric("rouge_1").corpus(rows) == pytest.approx(0.8)
    assert get_metric("rouge_2").corpus(rows) == pytest.approx(0.75)
    assert get_metric("rouge_l").corpus(rows) == pytest.approx(0.8)


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL"])
def test_rouge_of_english_is_the_librarys(kind, written):
    scorer = RougeScorer([kind])
    expected = np.mean([scorer.score(ref, answer)[kind].fmeasure for answer, ref in ENGLISH])
    name = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}[kind]
    assert get_metric(name).corpus(written(ENGLISH)) == pytest.approx(expected)


def test_rouge_counts_chinese_characters(written):
    # Answer 6 characters, reference 8, all 6 of the answer in it: F = 2 * 6 / 14.
    rows = written([("公司发布年报", "公司昨日发布年报")])
    assert get_metric("rouge_1").corpus(rows) == pytest.approx(12 / 14)


# Entities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PER: Ann, Bo; ORG: Acme", {("per", "ann"): 1, ("per", "bo"): 1, ("org", "acme"): 1}),
        (
            "LOC：伦敦、巴黎；ORG：小米",
            {("loc", "伦敦"): 1, ("loc", "巴黎"): 1, ("org", "小米"): 1},
        ),
        ("LOC: 伦敦; LOC: 伦敦", {("loc", "伦敦"): 2}),
        ("无", {}),
        ("None.", {}),
        ("", {}),
        ("PER: none", {}),
        ("just talk", {("?", "just talk"): 1}),
    ],
)
def test_entities_are_read(text, expected):
    assert dict(parse_entities(text)) == expected


def test_entity_f1_by_hand(written):
    rows = written(
        [
            ("PER: Ann; ORG: Acme", "PER: Ann, Bo"),  # hits 1, listed 2, right 2
            ("ORG: Ann", "PER: Ann"),  # another type: hits 0, listed 1, right 1
            ("无", "无"),
            ("I do not know", "none"),  # hits 0, listed 1, right 0
        ]
    )
    assert get_metric("entity_f1").corpus(rows) == pytest.approx(2 * 1 / (4 + 3))


def test_nothing_to_find_and_nothing_listed_is_right(written):
    assert get_metric("entity_f1").corpus(written([("none", "无")])) == 1


entities = st.lists(
    st.tuples(st.sampled_from(["PER", "ORG"]), st.sampled_from(["Ann", "小米", "Bo"])), max_size=5
).map(lambda found: "; ".join(f"{kind}: {text}" for kind, text in found))


@given(st.lists(st.tuples(entities, entities), min_size=1, max_size=6))
def test_entity_f1_agrees_with_seqeval(written, pairs):
    rows = written([(answer, reference or "none") for answer, reference in pairs])
    if any(answer or reference for answer, reference in pairs):
        tags = [entity_tags(row) for row in rows]
        expected = seqeval_f1([gold for gold, _ in tags], [got for _, got in tags], zero_division=0)
        assert get_metric("entity_f1").corpus(rows) == pytest.approx(expected)
