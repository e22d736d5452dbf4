"""Shares and caps hold; held-out rows are seeds, and no training row descends from one."""

import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretune.core.errors import BusyError, DataError, SpecError
from pretune.core.origin import KEY, RowKind, made, origin_of
from pretune.data.mix import fitting, mix_rows
from pretune.data.workshop.lineage import read_lineage
from pretune.spec.mixing import MixSpec, parse_mix

SEED, SYNTHETIC, AUGMENTED = RowKind


def seeds(count, first=0):
    return [{"text": f"row {n}", "label": "ab"[n % 2]} for n in range(first, first + count)]


def synthetic(count):
    fields = [{"text": f"made {n}", "label": "a"} for n in range(count)]
    return [made(one, SYNTHETIC, "rules", "r@1") for one in fields]


def augmented(rows, times=1):
    return [
        made({**row, "text": f"{row['text']} varied {k}"}, AUGMENTED, "augment", "a@1", origin)
        for row in rows
        for origin in [origin_of(row)]
        for k in range(times)
    ]


def save(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def load(folder, name):
    path = folder / f"{name}.jsonl"
    return [json.loads(x) for x in path.read_text("utf-8").splitlines()] if path.exists() else []


def kinds(rows):
    return Counter(origin_of(row).kind for row in rows)


def test_held_out_rows_are_seeds_and_their_descendants_are_left_out(tmp_path):
    first = seeds(200)
    second = augmented(first, 2)
    third = augmented(second)  # grandchildren
    source = save(tmp_path / "all.jsonl", [*third, *first, *second, *synthetic(50)])
    spec = MixSpec(validation_share=0.2, test_share=0.2)
    written = mix_rows([source], tmp_path / "out", spec)
    parts = {name: load(tmp_path / "out", name) for name in ("train", "validation", "test")}
    held = [*parts["validation"], *parts["test"]]
    assert 50 < len(held) < 110
    assert set(kinds(held)) == {SEED}
    forbidden = {origin_of(row).id for row in held}
    assert not forbidden & {origin_of(row).root for row in parts["train"]}
    left = 200 - len(held)
    assert kinds(parts["train"]) == {SEED: left, AUGMENTED: 4 * left, SYNTHETIC: 50}
    assert written.counts["left out: a held-out row, or made from one"] == 4 * len(held)


def test_given_held_out_files_count_and_only_their_seed_rows_do(tmp_path):
    train, held = seeds(20), seeds(5)
    files = {
        "train": save(tmp_path / "t.jsonl", [*train, *augmented(train)]),
        "test": save(tmp_path / "h.jsonl", [*held, *synthetic(3)]),
    }
    spec = MixSpec(validation_share=0)
    written = mix_rows([files["train"]], tmp_path / "out", spec, test=[files["test"]])
    assert load(tmp_path / "out", "test") == held
    assert len(load(tmp_path / "out", "train")) == 30
    assert written.counts["left out: no seed row, and these alone are held out"] == 3


def test_seed_rows_that_ask_the_same_fall_into_one_split(tmp_path):
    rows = [{"text": f"row {n // 3}", "label": str(n % 3)} for n in range(300)]
    source = save(tmp_path / "s.jsonl", rows)
    mix_rows([source], tmp_path / "out", MixSpec(validation_share=0.3, asks=("text",)))
    asked = [{r["text"] for r in load(tmp_path / "out", name)} for name in ("train", "validation")]
    assert asked[1]
    assert not asked[0] & asked[1]


def test_files_of_one_name_in_two_folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    paths = [
        save(tmp_path / "a" / "s.jsonl", seeds(5)),
        save(tmp_path / "b" / "s.jsonl", seeds(3, 9)),
    ]
    mix_rows(paths, tmp_path / "out", MixSpec(validation_share=0))
    (line,) = read_lineage(tmp_path / "out")
    assert set(line["inputs"]) == {"a/s.jsonl", "b/s.jsonl"}
    with pytest.raises(DataError, match=r'"a/s.jsonl" is given twice'):
        mix_rows([paths[0], paths[0]], tmp_path / "twice", MixSpec())


def test_repeated_rows_count_once(tmp_path):
    source = save(tmp_path / "s.jsonl", seeds(10) + seeds(10))
    written = mix_rows([source], tmp_path / "out", MixSpec(validation_share=0))
    assert load(tmp_path / "out", "train") == seeds(10)
    assert written.counts["left out: the same row came before"] == 10


@given(
    counts=st.tuples(*[st.integers(0, 60)] * 3),
    shares=st.dictionaries(st.sampled_from(list(RowKind)), st.integers(0, 100), max_size=3),
)
def test_the_most_rows_within_the_shares(counts, shares):
    if len(shares) == 3 and sum(shares.values()) < 100:
        return
    counts = dict(zip(RowKind, counts, strict=True))
    spec = MixSpec(shares={kind: share / 100 for kind, share in shares.items()})
    found = fitting(counts, spec)
    total = sum(found.values())
    for kind in RowKind:
        assert 0 <= found[kind] <= counts[kind]
        assert found[kind] * 100 <= shares.get(kind, 100) * total
    # None more: of every larger total some kind could not fill its part within its share.
    for more in range(total + 1, sum(counts.values()) + 1):
        room = [min(counts[kind], shares.get(kind, 100) * more // 100) for kind in RowKind]
        assert sum(room) < more


def test_shares_that_add_up_to_one_are_exact():
    counts = {SEED: 500, SYNTHETIC: 90, AUGMENTED: 900}
    spec = MixSpec(shares={SEED: 0.5, SYNTHETIC: 0.3, AUGMENTED: 0.2})
    assert fitting(counts, spec) == {SEED: 150, SYNTHETIC: 90, AUGMENTED: 60}


def test_a_share_is_taken_as_it_is_written():
    spec = MixSpec(shares={SEED: 0.29, SYNTHETIC: 0.71})  # 0.29 * 100 is 28.999... in binary
    assert fitting({SEED: 29, SYNTHETIC: 71, AUGMENTED: 0}, spec) == {
        SEED: 29,
        SYNTHETIC: 71,
        AUGMENTED: 0,
    }


def test_caps_and_rows_of_one_root(tmp_path):
    rows = seeds(30)
    source = save(tmp_path / "s.jsonl", [*rows, *augmented(rows, 5), *synthetic(100)])
    spec = MixSpec(validation_share=0, per_root=2, caps={SYNTHETIC: 7})
    mix_rows([source], tmp_path / "out", spec)
    train = load(tmp_path / "out", "train")
    assert kinds(train) == {SEED: 30, AUGMENTED: 60, SYNTHETIC: 7}
    roots = Counter(origin_of(row).root for row in train if KEY in row)
    assert max(roots.values()) == 2


def test_the_seed_decides_which_rows_are_taken_and_nothing_else_does(tmp_path):
    source = save(tmp_path / "s.jsonl", synthetic(300))
    spec = MixSpec(validation_share=0, caps={SYNTHETIC: 100})
    taken = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        mix_rows([source], tmp_path / name, spec.model_copy(update={"seed": seed}))
        taken.append((tmp_path / name / "train.jsonl").read_bytes())
    assert taken[0] == taken[1] != taken[2]


def test_a_broken_origin_costs_its_row_and_is_told(tmp_path):
    rows = [*seeds(5), {"text": "x", KEY: {"kind": "guess"}}, {"text": "y", KEY: 7}]
    source = save(tmp_path / "s.jsonl", rows)
    written = mix_rows([source], tmp_path / "out", MixSpec(validation_share=0))
    assert written.counts["not read: broken line"] == 2


def test_a_source_is_not_replaced_by_the_mix(tmp_path):
    source = save(tmp_path / "train.jsonl", seeds(20))
    with pytest.raises(SpecError, match="is a file to be read"):
        mix_rows([source], tmp_path, MixSpec(), overwrite=True)
    assert load(tmp_path, "train") == seeds(20)


def test_held_out_rows_of_the_mix_that_is_replaced_go_with_it(tmp_path):
    source, out = save(tmp_path / "s.jsonl", seeds(100)), tmp_path / "out"
    mix_rows([source], out, MixSpec(validation_share=0.1, test_share=0.2))
    held = load(out, "test")
    assert held
    spec = MixSpec(validation_share=0.1)
    (out / "train.jsonl").unlink()
    (out / "validation.jsonl").unlink()
    with pytest.raises(BusyError, match=r"test.jsonl\" exists; .*replace it: --overwrite"):
        mix_rows([source], out, spec)
    with pytest.raises(SpecError, match=r'test.jsonl" is a file to be read'):
        mix_rows([source, out / "test.jsonl"], out, spec, overwrite=True)
    assert load(out, "test") == held
    mix_rows([source], out, spec, overwrite=True)
    assert not (out / "test.jsonl").exists()
    assert len(load(out, "train")) + len(load(out, "validation")) == 100
    (line,) = read_lineage(out)
    assert set(line["outputs"]) == {"train.jsonl", "validation.jsonl"}


def test_a_file_that_is_not_the_mixs_stays_beside_a_new_one(tmp_path):
    source, out = save(tmp_path / "s.jsonl", seeds(100)), tmp_path / "out"
    mix_rows([source], out, MixSpec(validation_share=0.1, test_share=0.2))
    own = save(out / "test.jsonl", seeds(3, first=500))
    mix_rows([source], out, MixSpec(validation_share=0.1), overwrite=True)
    assert own.exists()


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    source = save(tmp_path / "s.jsonl", seeds(5))
    with pytest.raises(DataError, match=r"no training row is left: .*share: 5"):
        mix_rows([source], tmp_path / "out", MixSpec(validation_share=0, shares={SEED: 0}))
    with pytest.raises(DataError, match=r'no data file "[^"]*none.jsonl"'):
        mix_rows([tmp_path / "none.jsonl"], tmp_path / "out", MixSpec())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"shares": {"sede": 0.5}}, "sede"),
        ({"shares": {"seed": 1.5}}, 'share "1.5" of seed is not between 0 and 1'),
        ({"shares": dict.fromkeys(RowKind, 0.2)}, "add up to 0.6"),
        ({"caps": {"seed": -1}}, 'cap "-1" of seed is below 0'),
        ({"validation_share": 0.5, "test_share": 0.5}, "1 of the seed rows would be held out"),
        ({"share": {}}, 'unknown key "share"; did you mean "shares"?'),
    ],
)
def test_mixes_that_cannot_be(value, said):
    with pytest.raises(SpecError, match=said):
        parse_mix(value)


def test_a_row_takes_18_bytes_and_is_not_kept(tmp_path):
    path = tmp_path / "many.jsonl"
    with path.open("w") as file:
        for n in range(20_000):
            file.write(f'{{"text": "row {n}, {"word " * 100}", "label": "a"}}\n')
    mix_rows([save(tmp_path / "small.jsonl", seeds(10))], tmp_path / "warm", MixSpec())
    tracemalloc.start()
    mix_rows([path], tmp_path / "out", MixSpec(caps={SEED: 15_000}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 18 bytes a row stay; sorting a column of ids takes some more for a moment. The file: 10 MB.
    assert peak < 20_000 * 80 + 400_000
