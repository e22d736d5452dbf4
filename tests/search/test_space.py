"""The space of a search: its points, and the task that each is."""

from random import Random

import pytest

from pretune.core.errors import SpecError, UnknownName
from pretune.core.origin import RowKind
from pretune.core.scope import Scope
from pretune.planning.adviser import Advice
from pretune.search.first import Similar, first_points
from pretune.search.point import Beginning, Point, Shape, shape_of
from pretune.search.space import Choose, Space
from pretune.spec.dump import task_value
from pretune.spec.methods import LoraConfig, PrefixTuningConfig
from pretune.spec.search import SearchSpec, load_search, parse_search
from pretune.spec.task import parse_task

SMALLEST = {
    "name": "desk",
    "data": {"train": "rows.jsonl"},
    "template": {"user": "{text}", "target": "{label}"},
    "labels": ["low", "high"],
}


def make_space(search=None, *, kinds=None, beginnings=None, **changes):
    task = parse_task(SMALLEST | changes)
    return Space(task, parse_search(search or {}), 256, kinds, beginnings)


def drawn(space, seed):
    draw = Random(seed)
    return space.draw(Choose(lambda _, o: draw.choice(o), lambda _, a, b: draw.uniform(a, b)))


def test_every_point_is_a_task_that_says_it():
    space = make_space(kinds={RowKind.SYNTHETIC: 0.6})
    seen = set()
    for seed in range(200):
        point = drawn(space, seed)
        task = space.task_of(point)
        assert parse_task(task_value(task), name="desk") == task
        assert shape_of(task.method, task.scope) == point.shape
        seen.add(point.shape.method)
    assert seen == {"lora", "bottleneck", "direft", "prefix_tuning"}


def test_the_task_as_it_stands_is_a_point_and_stays_what_it_is():
    own = {"method": {"name": "lora", "rank": 3, "alpha": 7}, "train": {"learning_rate": 0.0876543}}
    space = make_space(**own)
    point = space.own()
    assert space.values_of(point)["rank"] == 3
    assert point.rate == pytest.approx(
        17.53086
    )  # 0.0876543 over the vetted 0.005; the range was widened
    assert space.task_of(point) == space.task
    # Its own alpha goes with other ranks as well; other methods have their defaults.
    other = space.method_of(Point(Shape("lora", Scope.PROMPT, 8), 1.0))
    assert (other.rank, other.alpha) == (8, 7)
    assert make_space({"rates": [0.5, 2]}, **own).own() is None


def test_a_rate_is_a_factor_of_the_vetted_one():
    space = make_space()
    point = Point(Shape("prefix_tuning", Scope.PROMPT, 20), 0.5)
    assert space.task_of(point).train.learning_rate == 0.05  # half of 0.1
    usual = Point(Shape("prefix_tuning", Scope.PROMPT, 20), 1.0)
    assert space.task_of(usual).train.learning_rate is None


def test_what_a_method_refuses_is_never_drawn():
    space = make_space({"methods": ["prefix_tuning", "lora", "full"], "scopes": ["prompt", "all"]})
    shapes = list(space.shapes())
    assert {s.scope for s in shapes if s.method == "prefix_tuning"} == {Scope.PROMPT}
    assert [s for s in shapes if s.method == "full"] == [Shape("full", Scope.ALL, None)]


def test_an_empty_or_single_space_is_refused():
    with pytest.raises(SpecError, match=r'nothing to choose from: .*refuses scope "all"'):
        make_space({"methods": ["prompt_tuning"], "scopes": ["all"]})
    with pytest.raises(SpecError, match=r'nothing to choose from: .*no "context:"'):
        make_space({"scopes": ["suffix"]})
    one = {"methods": ["lora"], "scopes": ["prompt"], "ranks": [8], "rates": [1, 1]}
    with pytest.raises(SpecError, match='"lora rank=8, prompt" is all that there is to choose'):
        make_space(one)


def test_limits_above_what_the_rows_hold_are_no_limits():
    space = make_space({"shares": {"augmented": [0, 0.3, 0.5]}}, kinds={RowKind.AUGMENTED: 0.4})
    found = {drawn(space, seed).shares[RowKind.AUGMENTED] for seed in range(60)}
    assert found == {0.0, 0.3, 1.0}
    assert space.own().shares == {RowKind.AUGMENTED: 1.0}


def test_known_points_come_first_each_once():
    begun = Beginning("x", LoraConfig(rank=16), Scope.PROMPT)
    space = make_space(beginnings={"other@abc": begun})
    advice = [
        Advice("method", "lora", "", ()),
        Advice("scope", "prompt", "", ()),
        Advice("method.rank", "16", "", ()),
        Advice("train.learning_rate", "0.005", "", ()),
    ]
    spec = parse_task(
        SMALLEST | {"method": {"name": "lora", "rank": 16}, "train": {"learning_rate": 0.01}}
    )
    points = first_points(space, advice, [Similar("other", spec, 0.3, "other@abc")], 256)
    said = [(str(point), why) for point, why in points[:4]]
    assert said == [
        ("lora rank=8, prompt, rate x1", "the task as it stands"),
        ("lora rank=16, prompt, rate x1", "advised"),
        ("lora rank=16, prompt, rate x2", "the recipe of other, similarity 0.30"),
        (
            "lora rank=16, prompt, rate x2, begun with other@abc",
            "begun with the adapter of other, similarity 0.30",
        ),
    ]
    assert len({name for name, _ in [(str(p), w) for p, w in points]}) == len(points)
    assert space.task_of(points[3][0]).begin_with == "x"


def test_a_task_that_begins_with_an_adapter_may_begin_with_nothing_too():
    space = make_space(begin_with="runs/cards")
    own = space.own()
    assert (own.begin, space.task_of(own)) == ("as the task says", space.task)
    usual = space.usual(own.shape)
    assert space.task_of(usual).begin_with is None


def test_adapters_outside_the_space_are_no_beginnings():
    wide = Beginning("x", PrefixTuningConfig(length=99), Scope.PROMPT)
    assert make_space(beginnings={"other@abc": wide}).beginnings == {}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"trails": 3}, 'unknown key "trails"; did you mean "trials"'),
        ({"trials": 0}, "trials: input should be greater than or equal to 1"),
        ({"minutes": -1}, "minutes: input should be greater than 0"),
        ({"methods": []}, "methods: tuple should have at least 1 item"),
        ({"rates": [4, 0.25]}, 'rates "4, 0.25" are no range'),
        ({"ranks": [8, 8]}, '"8" is named twice'),
        ({"ranks": [0]}, '"0" is no size of an adapter'),
        ({"shares": {"seed": [0.5]}}, '"seed" rows are all used'),
        ({"shares": {"synthetic": [2]}}, "shares of synthetic must be one or more numbers"),
    ],
)
def test_a_search_that_cannot_be_is_said(value, message):
    with pytest.raises(SpecError, match=message):
        parse_search(value)


def test_an_unknown_method_is_named_with_the_nearest_known_one():
    with pytest.raises(SpecError, match='unknown method "lorra"; did you mean "lora"'):
        parse_search({"methods": ["lorra"]})
    assert issubclass(UnknownName, SpecError)


def test_files(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text("trials: 5\nmethods: [lora, dora]\n")
    assert load_search(path) == SearchSpec(trials=5, methods=("lora", "dora"))
    assert SearchSpec().most_trials == 20
    assert SearchSpec(minutes=5).most_trials is None
    with pytest.raises(SpecError, match="no search file"):
        load_search(tmp_path / "serch.yaml")
