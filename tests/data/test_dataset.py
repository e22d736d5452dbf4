"""From files to tokenised rows: counts that add up, stable splits, and errors that say why."""

import json

import pytest
from rich.console import Console

from pretune.core.errors import DataError, SpecError
from pretune.core.fakes import ByteRenderer
from pretune.core.origin import KEY, RowKind, made, origin_of
from pretune.core.records import Row
from pretune.data.dataset import answer_room, option_ids, prepare, prompt_of, token_limit
from pretune.data.rejected import FILE_NAME
from pretune.data.report import Lengths
from pretune.data.splits import Split
from pretune.spec.task import parse_task

RENDERER = ByteRenderer()


def write(path, rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def rows(count, start=0):
    return [
        {"text": f"ticket {i}", "label": "low" if i % 2 else "high"}
        for i in range(start, start + count)
    ]


def task(folder, **changes):
    value = {
        "name": "urgency",
        "data": {"train": "train.jsonl", "validation": "validation.jsonl"},
        "template": {"system": "Say how urgent.", "user": "{text}", "target": "{label}"},
        "labels": ["low", "high"],
    }
    return parse_task({**value, **changes}, folder=folder)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.jsonl", rows(20))
    write(tmp_path / "validation.jsonl", rows(5, start=100))
    return tmp_path


def test_ids_of_files_that_share_a_name_begin_with_their_split(folder):
    for split, start in (("train", 0), ("test", 50)):
        (folder / split).mkdir()
        write(folder / split / "data.jsonl", [*rows(20, start), "{"])
    named = {
        "train": ["train/data.jsonl", "train.jsonl"],  # the second repeats the first
        "validation": "validation.jsonl",
        "test": "test/data.jsonl",
    }
    data = prepare(task(folder, data=named), RENDERER, folder / "out")
    assert [row.row_id for row in data.train] == [f"train/data.jsonl:{n}" for n in range(1, 21)]
    assert [row.row_id for row in data.test] == [f"test/data.jsonl:{n}" for n in range(1, 21)]
    lines = (folder / "out" / FILE_NAME).read_text().splitlines()
    bad = [json.loads(line)["row"] for line in lines]
    assert {"train/data.jsonl:21", "test/data.jsonl:21", "train.jsonl:1"} <= set(bad)


def test_one_file_in_two_splits_keeps_its_ids(folder):
    write(folder / "more.jsonl", rows(3, start=200))
    same = {
        "train": ["train.jsonl", "more.jsonl"],
        "validation": "validation.jsonl",
        "test": "more.jsonl",
    }
    data = prepare(task(folder, data=same), RENDERER)
    assert [row.row_id for row in data.test] == [f"more.jsonl:{n}" for n in range(1, 4)]


def test_percentiles_are_nearest_ranks():
    assert Lengths.of(range(101)) == (50, 95, 100)
    assert Lengths.of([7]) == (7, 7, 7)
    assert Lengths.of([]) == (0, 0, 0)


def test_clean_data_is_kept_whole(folder):
    data = prepare(task(folder), RENDERER, folder / "out")
    report = data.report.splits[Split.TRAIN]
    assert [len(data.train), len(data.validation), len(data.test)] == [20, 5, 0]
    assert (report.read, report.kept, report.dropped) == (20, 20, {})
    assert report.labels == {"low": 10, "high": 10}
    # "low" and its end are 4 tokens, "high" and its end 5.
    assert report.target_tokens == (4, 5, 5)
    assert report.target_total == 10 * 4 + 10 * 5
    assert data.report.findings == []
    assert (folder / "out" / FILE_NAME).read_text() == ""
    assert data.train[0].row_id == "train.jsonl:1"


def test_every_row_is_kept_or_dropped_with_its_reason(folder):
    write(
        folder / "train.jsonl",
        [
            *rows(4),
            "{broken secret",
            {"txt": "secret", "label": "low"},
            {"text": "secret", "label": "hgih"},
            {"text": "", "label": "low"},
            {"text": "secret", "label": ""},
            {"text": "ticket 0", "label": "high"},
            {"text": "ticket 1", "label": "high"},
            {"text": "ticket 100", "label": "high"},
            {"text": "secret " * 100, "label": "low"},
        ],
    )
    data = prepare(task(folder), RENDERER, folder / "out")
    report = data.report.splits[Split.TRAIN]
    assert report.dropped == {
        "broken line": 1,
        "missing column": 1,
        "empty input": 1,
        "empty target": 1,
        "unknown label": 1,
        "too long": 1,
        "duplicate": 1,
        "contradictory label": 1,
        "leaks into another split": 1,
    }
    assert (report.kept, report.read) == (4, 13)
    kept = [json.loads(line) for line in (folder / "out" / FILE_NAME).read_text().splitlines()]
    assert len(kept) == 9
    assert {
        "row": "train.jsonl:7",
        "reason": "unknown label",
        "detail": 'not among the 2 labels of the task; the nearest known is "high"',
        "content": {"text": "secret", "label": "hgih"},
    } in kept
    shown = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    shown.print(data.report.render())
    shown.file.close()
    text = shown.export_text() + json.dumps(data.report.to_dict())
    assert "dropped: unknown label" in text
    assert "train: 1 of 13 rows dropped (too long)" in text
    assert "secret" not in text


def test_what_was_made_from_a_held_out_row_is_not_trained_on(folder):
    held, learned = rows(1, start=100)[0], rows(1)[0]
    child = made({**held, "text": "tikcet 100"}, RowKind.AUGMENTED, "augment", "r", origin_of(held))
    grandchild = made({**held, "text": "tiket 100"}, RowKind.AUGMENTED, "augment", "r",
                      origin_of(child))  # fmt: skip
    own = made({**learned, "text": "tikcet 0"}, RowKind.AUGMENTED, "a", "r", origin_of(learned))
    alone = made({"text": "a rule's own", "label": "low"}, RowKind.SYNTHETIC, "rules", "r")
    broken = {**learned, "text": "whence", KEY: {"kind": "dreamt"}}
    write(folder / "train.jsonl", [*rows(20), child, grandchild, own, alone, broken])
    write(folder / "validation.jsonl", [*rows(5, start=100), {**alone, "text": "another"}])
    report = prepare(task(folder), RENDERER, folder / "out").report
    dropped = [json.loads(line) for line in (folder / "out" / FILE_NAME).read_text().splitlines()]
    assert [(one["row"], one["detail"]) for one in dropped] == [
        ("train.jsonl:25", 'column "_origin" holds no origin'),
        ("train.jsonl:21", "made from validation row validation.jsonl:1"),
        ("train.jsonl:22", "made from validation row validation.jsonl:1"),
    ]
    assert report.to_dict()["splits"]["train"]["kinds"] == {
        "seed": 20,
        "synthetic": 1,
        "augmented": 1,
    }
    assert "validation: 1 of 6 rows were not labelled by people" in " ".join(report.findings)


def test_no_row_is_trained_on_from_which_a_held_out_row_was_made(folder):
    seed = rows(1)[0]
    child = made({**seed, "text": "tikcet 0"}, RowKind.AUGMENTED, "augment", "r", origin_of(seed))
    write(folder / "validation.jsonl", [*rows(5, start=100), child])
    prepared = prepare(task(folder), RENDERER, folder / "out")
    dropped = [json.loads(line) for line in (folder / "out" / FILE_NAME).read_text().splitlines()]
    assert [(one["row"], one["detail"]) for one in dropped] == [
        ("train.jsonl:1", "validation row validation.jsonl:6 was made from it")
    ]
    assert "validation.jsonl:6" in [one.row_id for one in prepared.validation]


def test_kin_is_followed_through_rows_between(folder):
    """A held-out row that was itself varied is the root of none: the rows between tell."""
    line = [rows(1, start=500)[0]]
    for text in ("ticket 501", "ticket 502", "ticket 503", "ticket 504"):
        parent = origin_of(line[-1])
        line.append(made({**line[0], "text": text}, RowKind.AUGMENTED, "augment", "r", parent))
    _, first, held, third, fourth = line
    write(folder / "train.jsonl", [*rows(20), first, third, fourth])
    write(folder / "validation.jsonl", [*rows(5, start=100), held])
    prepare(task(folder), RENDERER, folder / "out")
    dropped = [json.loads(line) for line in (folder / "out" / FILE_NAME).read_text().splitlines()]
    assert [(one["row"], one["detail"]) for one in dropped] == [
        ("train.jsonl:21", "validation row validation.jsonl:6 was made from it"),
        ("train.jsonl:22", "made from validation row validation.jsonl:6"),
        ("train.jsonl:23", "made from validation row validation.jsonl:6"),
    ]


def test_a_varied_row_is_not_held_out_by_share(tmp_path):
    seeds = rows(40)
    varied = [
        made({**row, "text": f"{row['text']}!"}, RowKind.AUGMENTED, "augment", "r", origin_of(row))
        for row in seeds
    ]
    write(tmp_path / "train.jsonl", [*seeds, *varied])
    data = {"train": "train.jsonl", "validation_share": 0.3, "test_share": 0.2}
    prepared = prepare(task(tmp_path, data=data), RENDERER)
    held = [*prepared.validation, *prepared.test]
    assert len(held) > 5
    assert all(int(one.row_id.partition(":")[2]) <= 40 for one in held)
    # Their own variants go, and no other row does.
    assert len(prepared.train) == 2 * (40 - len(held))
    write(tmp_path / "train.jsonl", varied)
    with pytest.raises(DataError, match=r"name data\..*; rows varied from others are not held out"):
        prepare(task(tmp_path, data=data), RENDERER)


def test_cut_contexts_are_counted(folder):
    write(folder / "train.jsonl", [{**row, "doc": "d" * 600} for row in rows(3)])
    write(folder / "validation.jsonl", [{**row, "doc": "d"} for row in rows(3, start=9)])
    template = {"context": "{doc}", "user": "{text}", "target": "{label}"}
    report = prepare(task(folder, template=template), RENDERER).report
    assert report.splits[Split.TRAIN].truncated == 3
    assert report.splits[Split.TRAIN].prompt_tokens.max == 512 - 4
    assert report.findings == ["train: the context of 3 rows was cut to fit"]


def test_label_without_training_rows_is_a_finding(folder):
    report = prepare(task(folder, labels=["low", "high", "none"]), RENDERER).report
    assert report.findings == ['train: no row with label "none"']


def test_splits_cut_from_train_stay_when_rows_are_added(tmp_path):
    data = {"train": "train.jsonl", "validation_share": 0.3, "test_share": 0.2}
    spec = task(tmp_path, data=data)
    homes = []
    for count in (60, 90):
        write(tmp_path / "train.jsonl", rows(count))
        prepared = prepare(spec, RENDERER)
        homes.append({e.row_id: s for s in Split for e in getattr(prepared, s)})
    assert len(homes[0]) == 60
    assert homes[1].items() >= homes[0].items()
    assert set(homes[0].values()) == set(Split)


def test_digest_names_the_content_and_not_the_file(folder):
    before = prepare(task(folder), RENDERER).digest
    (folder / "train.jsonl").rename(folder / "other.jsonl")
    moved = task(folder, data={"train": "other.jsonl", "validation": "validation.jsonl"})
    assert prepare(moved, RENDERER).digest == before
    write(folder / "other.jsonl", rows(19))
    assert prepare(moved, RENDERER).digest != before


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (
            [{"txt": "secret", "label": "low"}] * 2,
            r'task "urgency", train: nothing to learn from, zero target tokens; '
            r"0 of 2 rows kept \(missing column: 2\)\n"
            r'  train\.jsonl:1: no column "text"; did you mean "txt"\? known: label, txt\n'
            r'  every row and its reason: ".*rejected\.jsonl"',
        ),
        ([{"text": "secret", "label": ""}], r"zero target tokens; .*\(empty target: 1\)"),
        ([""], r"0 of 0 rows kept; the files hold no rows"),
    ],
)
def test_nothing_to_learn_from_is_an_error(folder, broken, words):
    write(folder / "train.jsonl", broken)
    with pytest.raises(DataError, match=words) as error:
        prepare(task(folder), RENDERER, folder / "out")
    assert "secret" not in str(error.value)
    assert (folder / "out" / FILE_NAME).exists()


def test_too_few_rows_to_cut_validation_from(folder):
    write(folder / "train.jsonl", rows(1))
    spec = task(folder, data={"train": "train.jsonl", "validation_share": 0.01})
    with pytest.raises(DataError, match=r'validation_share "0\.01"; raise it, or name data\.vali'):
        prepare(spec, RENDERER)


def test_options_are_what_training_writes(folder):
    data = prepare(task(folder), RENDERER)
    written = {
        e.label: tuple(i for s in e.segments[len(e.prompt) :] for i in s.ids) for e in data.train
    }
    assert option_ids(task(folder), RENDERER) == [written["low"], written["high"]]
    assert answer_room(task(folder), RENDERER) == 5


def test_options_that_a_base_cannot_tell_apart_are_refused(folder):
    class Deaf(ByteRenderer):
        def encode(self, segments):
            lowered = [type(s)(s.role, s.text.lower(), s.glue) for s in segments]
            return super().encode(lowered)

    with pytest.raises(SpecError, match='labels "Yes" and "yes" are the same tokens to this base'):
        option_ids(task(folder, labels=["Yes", "yes"]), Deaf())
    with pytest.raises(SpecError, match="has no labels to choose from"):
        option_ids(task(folder, labels=None), RENDERER)


def test_token_limit_counts_the_adapters_own_positions(folder):
    assert token_limit(task(folder), RENDERER) == 512
    assert token_limit(task(folder, method="prompt_tuning"), RENDERER) == 512 - 20
    assert token_limit(task(folder, train={"max_length": 100}), RENDERER) == 100


def test_serving_asks_with_the_tokens_that_training_saw(folder):
    data = prepare(task(folder), RENDERER)
    asked = prompt_of(task(folder), RENDERER, Row("x", {"text": "ticket 0"}))
    assert asked.segments == data.train[0].prompt
    assert prompt_of(task(folder), RENDERER, Row("x", {})).reason == "missing column"
