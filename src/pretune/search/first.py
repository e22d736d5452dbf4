"""The first points of a search: what is known already, before anything is chosen by trying."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pretune.core.scope import Scope
from pretune.planning.adviser import Advice
from pretune.search.point import Point, Shape, shape_of, size_key
from pretune.search.space import Space
from pretune.spec.methods import METHODS, MethodConfig
from pretune.spec.task import TaskSpec


@dataclass(frozen=True)
class Similar:
    """A registered task: ``similarity`` is the share of the base's loss on the new task's rows that
    its adapter takes away. ``begin`` is what its adapter is called in the space."""

    task: str
    spec: TaskSpec
    similarity: float
    begin: str


def first_points(
    space: Space, advice: Sequence[Advice], similar: Sequence[Similar], width: int
) -> list[tuple[Point, str]]:
    """Points with the reason for each, the most telling first; not all need be in the space."""
    found: list[tuple[Point, str]] = []
    if (own := space.own()) is not None:
        found.append((own, "the task as it stands"))
    if (advised := _advised(space, {one.about: one.value for one in advice}, width)) is not None:
        found.append((advised, "advised"))
    for one in similar:
        said = f"{one.task}, similarity {one.similarity:.2f}"
        recipe = _recipe(space, one, width)
        found.append((recipe, f"the recipe of {said}"))
        if one.begin in space.beginnings:
            shape = space.beginnings[one.begin].shape
            begun = replace(recipe, shape=shape, begin=one.begin)
            found.append((begun, f"begun with the adapter of {said}"))
    usual = space.shapes() if space.pinned else space.usual_shapes()
    found += [(space.usual(shape), f"the vetted recipe of {shape.method}") for shape in usual]
    unique: dict[str, tuple[Point, str]] = {}
    for point, why in found:
        unique.setdefault(str(point), (point, why))
    return list(unique.values())


def _recipe(space: Space, similar: Similar, width: int) -> Point:
    spec = similar.spec
    rate = spec.train.learning_rate
    factor = 1.0 if rate is None else rate / spec.method.rate_at(width)
    return replace(space.usual(shape_of(spec.method, spec.scope)), rate=factor)


def _advised(space: Space, said: Mapping[str, str], width: int) -> Point | None:
    """The advice as a point, its size the nearest that the space has."""
    method, scope = said.get("method"), said.get("scope")
    if method not in METHODS or scope is None:
        return None
    config: MethodConfig = METHODS[method]()
    wanted = said.get("method.rank") if size_key(method) == "rank" else None
    size = int(wanted) if wanted else getattr(config, size_key(method) or "name")
    sizes = [one.size for one in space.shapes() if (one.method, one.scope) == (method, scope)]
    if not sizes:
        return None
    known = [one for one in sizes if one is not None]
    nearest = min(known, key=lambda one: abs(math.log(one / int(size)))) if known else None
    point = space.usual(Shape(method, Scope(scope), nearest))
    if (rate := said.get("train.learning_rate")) is not None:
        own = space.method_of(point).rate_at(width)
        point = replace(point, rate=float(rate) / own)
    return point if space.values_of(point) is not None else None
