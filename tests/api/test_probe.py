"""What augmentation does: rows drawn and varied, trained with and without, compared in pairs."""

import json
from pathlib import Path

import pytest

from api.test_translators import save_marian
from pretune import compare_runs, parse_probe, parse_task, probe_augmentation
from pretune.api import trials as module
from pretune.bases.fakes import save_tiny
from pretune.core.errors import BusyError, DataError, SpecError, UnknownName
from pretune.core.events import Event
from pretune.core.origin import RowKind, content_id, made, origin_of
from pretune.data.workshop import draft
from pretune.data.workshop.lineage import read_lineage
from pretune.evaluation.effects import Impact
from pretune.spec.rewriting import parse_rewriting


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("base"), num_hidden_layers=1)


def rows_of(count, word="the card was declined"):
    return [
        {"text": f"{word} at shop number {n}", "label": ("yes", "no")[n % 2]} for n in range(count)
    ]


def write(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def task(tmp_path, tiny):
    write(tmp_path / "train.jsonl", rows_of(40))
    write(tmp_path / "test.jsonl", rows_of(16, "my account was blocked"))
    write(tmp_path / "validation.jsonl", rows_of(6, "the loan was granted"))

    def make(**changes):
        value = {
            "name": "desk",
            "base": str(tiny),
            "data": {split: f"{split}.jsonl" for split in ("train", "validation", "test")},
            "template": {"user": "{text}", "target": "{label}"},
            "labels": ["yes", "no"],
            "method": {"name": "lora", "rank": 2},
            "train": {"batch_size": 8, "learning_rate": 0.01},
        }
        return parse_task(value | changes, folder=tmp_path)

    return make


SMALL = parse_probe({"operators": ["typo", "entity"], "rows": [8, 16], "steps": 2})


class Listening:
    def __init__(self):
        self.events: list[Event] = []

    def emit(self, event):
        self.events.append(event)

    def runs(self):
        return [one.values["run"] for one in self.events if one.kind == "probe.run"]


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_with_and_without(task, tmp_path):
    heard = Listening()
    found = probe_augmentation(task(), tmp_path / "out", SMALL, sinks=[heard])
    assert [(one.rows, one.operators) for one in found.effects] == [
        *((8, "typo"), (8, "entity")),
        *((16, "typo"), (16, "entity")),
    ]
    typo, entity = found.effects[:2]
    assert typo.variants == (8,)
    assert (entity.variants, entity.impact) == ((0,), Impact.NOTHING)
    # Nothing varied is nothing to train: one run without and one with typos for each size.
    assert heard.runs() == [
        f"rows-{count}.seed-0.{name}" for count in (8, 16) for name in ("without", "typo")
    ]
    taken = [one.values["steps"] for one in heard.events if one.kind == "train.start"]
    assert taken == [2, 2, 2, 2]
    assert (found.split, found.held_rows) == ("test", 16)
    assert json.loads((tmp_path / "out/report.json").read_text("utf-8")) == json.loads(
        json.dumps(found.to_dict())
    )
    assert "| 8 | entity | 0 |" in (tmp_path / "out/report.md").read_text("utf-8")


def test_operators_that_ask_are_probed_too_and_who_is_asked_stays_the_same(task, tmp_path):
    pair = {way: str(save_marian(tmp_path / way, n)) for n, way in enumerate(("forward", "back"))}

    def probe(operators, **rewriting):
        given = (
            {"rewriting": parse_rewriting({"translators": pair} | rewriting)} if rewriting else {}
        )
        spec = parse_probe({"operators": operators, "rows": [8], "steps": 2} | given)
        return probe_augmentation(task(), tmp_path / "out", spec)

    probe(["typo"])
    found = probe(["typo", "back_translation"], tries=1)  # added later
    typo, asked = found.effects
    assert typo.variants == (8,)
    assert (asked.variants, asked.impact) == ((0,), Impact.NOTHING)  # it knows none of the words
    (refused,) = (tmp_path / "out/rows").glob("*back_translation.rejected.jsonl")
    assert len(read(refused)) == 8
    with pytest.raises(BusyError, match='a probe with other "rewriting"'):
        probe(["typo", "back_translation"], tries=2)
    probe(["typo"])  # what was asked before is not forgotten
    with pytest.raises(BusyError, match='a probe with other "rewriting"'):
        probe(["typo", "back_translation"], tries=2)


def test_the_statistics_are_those_of_compare(task, tmp_path):
    found = probe_augmentation(task(), tmp_path / "out", SMALL)
    runs = tmp_path / "out/runs"
    for effect in (found.effects[0], found.effects[2]):
        name = f"rows-{effect.rows}.seed-0"
        assert effect.differences == compare_runs(runs / f"{name}.without", runs / f"{name}.typo")
        assert effect.by_seed == ((effect.differences[0].first, effect.differences[0].second),)


def test_seed_rows_are_nested_and_stand_still(task, tmp_path):
    probe_augmentation(task(), tmp_path / "one", SMALL)
    few = read(tmp_path / "one/rows/rows-8.seed-0.jsonl")
    many = read(tmp_path / "one/rows/rows-16.seed-0.jsonl")
    assert (len(few), len(many)) == (8, 16)
    assert many[:8] == few
    write(tmp_path / "train.jsonl", rows_of(40)[::-1])
    probe_augmentation(task(), tmp_path / "two", SMALL)
    assert read(tmp_path / "two/rows/rows-8.seed-0.jsonl") == few


def test_every_variant_descends_from_a_seed_row_of_its_run(task, tmp_path):
    probe_augmentation(task(), tmp_path / "out", SMALL)
    rows = tmp_path / "out/rows"
    seeds = {content_id(row) for row in read(rows / "rows-8.seed-0.jsonl")}
    varied = read(rows / "rows-8.seed-0.typo.jsonl")
    assert {row["_origin"]["root"] for row in varied} == seeds
    written = {name for line in read_lineage(rows) for name in line["outputs"]}
    assert {"held.jsonl", "rows-8.seed-0.jsonl", "rows-8.seed-0.typo.jsonl"} <= written


def test_a_variant_that_is_a_held_out_row_is_not_trained_on(task, tmp_path):
    probe_augmentation(task(), tmp_path / "one", SMALL)
    varied = read(tmp_path / "one/rows/rows-8.seed-0.typo.jsonl")
    leak = {name: varied[0][name] for name in ("text", "label")}
    write(tmp_path / "test.jsonl", [*rows_of(15, "my account was blocked"), leak])
    found = probe_augmentation(task(), tmp_path / "two", SMALL)
    assert found.effects[0].variants == (7,)


def test_what_is_finished_is_not_trained_again(task, tmp_path, monkeypatch):
    whole = probe_augmentation(task(), tmp_path / "whole", SMALL)
    evaluate = module.save_evaluation

    def failing(found, folder):
        if folder.name == "rows-16.seed-0.without":
            raise OSError("the machine went down")
        evaluate(found, folder)

    monkeypatch.setattr(module, "save_evaluation", failing)
    with pytest.raises(OSError, match="went down"):
        probe_augmentation(task(), tmp_path / "out", SMALL)
    monkeypatch.undo()
    before = (tmp_path / "out/runs/rows-8.seed-0.typo/trial.json").read_bytes()
    heard = Listening()
    found = probe_augmentation(task(), tmp_path / "out", SMALL, sinks=[heard])
    assert heard.runs() == ["rows-16.seed-0.without", "rows-16.seed-0.typo"]
    begun = next(one for one in heard.events if one.kind == "train.start")
    assert begun.step == 2  # its training was finished, its measuring was not
    assert (tmp_path / "out/runs/rows-8.seed-0.typo/trial.json").read_bytes() == before
    assert [one.differences for one in found.effects] == [one.differences for one in whole.effects]
    assert not list((tmp_path / "out/runs").glob("*/training"))


def test_rows_that_were_written_and_not_yet_told_are_told(task, tmp_path, monkeypatch):
    def failing(folder, line):
        raise OSError("the machine went down")

    monkeypatch.setattr(draft, "add_line", failing)
    with pytest.raises(OSError, match="went down"):
        probe_augmentation(task(), tmp_path / "out", SMALL)
    monkeypatch.undo()
    assert list((tmp_path / "out/rows").glob("*.jsonl"))
    assert probe_augmentation(task(), tmp_path / "out", SMALL).effects[0].variants == (8,)


def test_files_of_made_rows_are_compared_with_seed_rows_alone(task, tmp_path):
    held = origin_of(rows_of(16, "my account was blocked")[0])
    leaks = [
        *rows_of(1, "my account was blocked"),
        made({"text": "blocked, my account", "label": "yes"}, RowKind.AUGMENTED, "a", "r", held),
    ]
    write(tmp_path / "pairs.jsonl", [*rows_of(5, "please help me with my card"), *leaks])
    write(tmp_path / "varied.jsonl", rows_of(3, "pls halp wiht my card"))
    files = [tmp_path / "pairs.jsonl", tmp_path / "varied.jsonl"]
    spec = parse_probe({"add": files, "rows": [8], "steps": 2})
    heard = Listening()
    found = probe_augmentation(task(), tmp_path / "out", spec, sinks=[heard])
    assert heard.runs() == [
        f"rows-8.seed-0.{name}" for name in ("without", "pairs.jsonl", "varied.jsonl")
    ]
    # What is held out, or was made from it, is not trained on.
    assert [(one.operators, one.variants) for one in found.effects] == [
        ("pairs.jsonl", (5,)),
        ("varied.jsonl", (3,)),
    ]
    both = parse_probe({"add": files[:1], "operators": ["typo"], "rows": [8], "steps": 2})
    again = Listening()
    probe_augmentation(task(), tmp_path / "out", both, sinks=[again])
    assert again.runs() == ["rows-8.seed-0.typo"]
    write(tmp_path / "pairs.jsonl", rows_of(4, "please help me with my card"))
    with pytest.raises(BusyError, match=r'other "file pairs.jsonl"'):
        probe_augmentation(task(), tmp_path / "out", both)


def test_rows_operators_and_seeds_may_be_added(task, tmp_path):
    probe_augmentation(task(), tmp_path / "out", SMALL)
    heard = Listening()
    more = parse_probe({"operators": ["typo", "colloquial"], "rows": [8], "seeds": 2, "steps": 2})
    found = probe_augmentation(task(), tmp_path / "out", more, sinks=[heard])
    assert heard.runs() == [
        "rows-8.seed-0.colloquial",
        *(f"rows-8.seed-1.{name}" for name in ("without", "typo", "colloquial")),
    ]
    assert [len(one.by_seed) for one in found.effects] == [2, 2]
    first, second = (read(tmp_path / f"out/rows/rows-8.seed-{n}.jsonl") for n in (0, 1))
    assert first != second


def test_other_settings_want_another_folder(task, tmp_path):
    probe_augmentation(task(), tmp_path / "out", SMALL)
    other = SMALL.model_copy(update={"steps": 3})
    with pytest.raises(BusyError, match=r'holds a probe with other "steps".*--overwrite'):
        probe_augmentation(task(), tmp_path / "out", other)
    write(tmp_path / "test.jsonl", rows_of(12, "my account was blocked"))
    with pytest.raises(BusyError, match='other "rows of the task"'):
        probe_augmentation(task(), tmp_path / "out", SMALL)
    found = probe_augmentation(task(), tmp_path / "out", SMALL, overwrite=True)
    assert found.held_rows == 12


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["runs", "report.md"])
def test_what_is_of_no_probe_is_neither_removed_nor_mixed_with_its_own(
    task, tmp_path, name, overwrite
):
    mine = tmp_path / "out" / name / "run.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(BusyError, match=rf'holds "{name}" and no "probe.json".*with --out'):
        probe_augmentation(task(), tmp_path / "out", SMALL, overwrite=overwrite)
    assert mine.read_text("utf-8") == "mine"
    assert not (tmp_path / "out/probe.json").exists()


def test_more_seed_rows_than_there_are(task, tmp_path):
    with pytest.raises(DataError, match=r'has "40" rows .* "2000" seed rows .* 40 or fewer'):
        probe_augmentation(task(), tmp_path / "out", parse_probe({"rows": [8, 2000]}))
    with pytest.raises(DataError, match=r'"100" seed rows'):
        probe_augmentation(task(), tmp_path / "out", parse_probe({}))
    assert not (tmp_path / "out/runs").exists()


def test_an_operator_that_varies_nothing_is_refused_if_it_is_the_only_one(task, tmp_path):
    only = SMALL.model_copy(update={"operators": ("entity",)})
    with pytest.raises(DataError, match=r'"entity" find nothing to change .* --names'):
        probe_augmentation(task(), tmp_path / "out", only)
    assert not (tmp_path / "out/runs").exists()


def test_a_chat_is_refused(task, tmp_path):
    chat = task(template={"messages": "turns"}, labels=None)
    write(
        tmp_path / "train.jsonl",
        [
            {"turns": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "b"}]}
            for n in range(20)
        ],
    )
    for split in ("test", "validation"):
        turns = [{"role": "user", "content": split}, {"role": "assistant", "content": "b"}]
        write(tmp_path / f"{split}.jsonl", [{"turns": turns}])
    with pytest.raises(SpecError, match="chat messages, which no operator varies"):
        probe_augmentation(chat, tmp_path / "out", SMALL)


def test_without_test_rows_the_validation_rows_are_measured(task, tmp_path):
    cut = task(data={"train": "train.jsonl", "validation_share": 0.3})
    found = probe_augmentation(cut, tmp_path / "out", SMALL)
    held = read(tmp_path / "out/rows/held.jsonl")
    assert (found.split, found.held_rows) == ("validation", len(held))
    seeds = read(tmp_path / "out/rows/rows-16.seed-0.jsonl")
    assert not {row["text"] for row in held} & {row["text"] for row in seeds}


def test_steps_are_the_tasks_epochs_over_rows_and_variants(task, tmp_path):
    heard = Listening()
    spec = parse_probe({"operators": ["typo"], "rows": [8], "held_rows": 5})
    found = probe_augmentation(
        task(train={"batch_size": 8, "epochs": 2}), tmp_path / "out", spec, sinks=[heard]
    )
    # 2 epochs of 8 rows and 8 variants in batches of 8
    assert [one.values["steps"] for one in heard.events if one.kind == "train.start"] == [4, 4]
    assert found.held_rows == 5


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"operators": ["typos"]}, 'unknown operator "typos"; did you mean "typo"'),
        ({"entities": ["persn"]}, 'unknown entity "persn"; did you mean "person"'),
        ({"operators": ["typo", "typo"]}, 'operator "typo" is named twice'),
        ({"rows": [0]}, '"0" seed rows'),
        ({"operators": []}, "neither an operator nor a file"),
        ({"add": ["a/rows.jsonl", "a/rows.jsonl"]}, 'file "a/rows.jsonl" is named twice'),
        (
            {"add": ["a/rows.jsonl", "b/rows.jsonl"]},
            '"a/rows.jsonl" and "b/rows.jsonl" have one name, by which the report tells them; '
            "rename one of them",
        ),
        ({"row": [5]}, 'unknown key "row"; did you mean "rows"'),
    ],
)
def test_a_probe_that_cannot_be_asked(value, said):
    with pytest.raises(SpecError, match=said):
        parse_probe(value)


def test_an_unknown_operator_keeps_its_kind():
    with pytest.raises(UnknownName):
        parse_probe({"operators": ["typo+entty"]})
