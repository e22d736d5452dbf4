"""The space of a search: its points, each a configuration of one task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from pretune.core.errors import ScopeError, SpecError
from pretune.core.origin import RowKind
from pretune.core.scope import Scope
from pretune.search.point import (
    NOTHING,
    OWN,
    Beginning,
    Point,
    Shape,
    has_rank,
    shape_of,
    size_key,
)
from pretune.spec.methods import METHODS, AnyMethod
from pretune.spec.problems import spec_error
from pretune.spec.search import USUAL_METHODS, USUAL_SHARES, SearchSpec
from pretune.spec.task import TaskSpec

_RANKS = (4, 8, 16, 32)
_LENGTHS = (10, 20, 40)


class Choose(NamedTuple):
    """How a point is drawn: one of some options, or a factor between two, each under a name."""

    one_of: Callable[[str, Sequence[Any]], Any]
    factor: Callable[[str, float, float], float]


class Space:
    """What a search of ``task`` on a base of hidden ``width`` may choose.

    Args:
        kinds: kinds of rows beside seed rows in the task's training rows, with their share.
        beginnings: adapters by ``task@digest``.

    Raises:
        SpecError: nothing can be chosen, with the reasons, or only one thing.
    """

    def __init__(
        self,
        task: TaskSpec,
        spec: SearchSpec,
        width: int,
        kinds: Mapping[RowKind, float] | None = None,
        beginnings: Mapping[str, Beginning] | None = None,
    ) -> None:
        self.task = task
        self._spec = spec
        self._width = width
        own = shape_of(task.method, task.scope)
        self._ranks = _with(spec.ranks, _RANKS, own.size, has_rank(own.method))
        self._lengths = _with(spec.lengths, _LENGTHS, own.size, not has_rank(own.method))
        scopes = spec.scopes or tuple(dict.fromkeys((Scope.PROMPT, Scope.ALL, task.scope)))
        methods = spec.methods or tuple(dict.fromkeys((*USUAL_METHODS, own.method)))
        refused: list[str] = []
        self._scopes = {name: self._allowed(name, scopes, refused) for name in methods}
        self._methods = [name for name, allowed in self._scopes.items() if allowed]
        if not self._methods:
            raise SpecError(
                "there is nothing to choose from: "
                + "; ".join(dict.fromkeys(refused))
                + "; name other methods or scopes"
            )
        self._rates = self._rate_range(own)
        self._shares = {kind: _shares(spec, kind, share) for kind, share in (kinds or {}).items()}
        known = set(self.shapes())
        given = dict(beginnings or {})
        if task.begin_with is not None:
            given = {OWN: Beginning(task.begin_with, task.method, task.scope), **given}
        self.beginnings = {name: one for name, one in given.items() if one.shape in known}
        self._refuse_a_single_point()

    def _allowed(self, name: str, scopes: Sequence[Scope], refused: list[str]) -> list[Scope]:
        allowed = []
        for scope in scopes:
            try:
                TaskSpec.model_validate(self._value(name, scope))
            except ValidationError as error:
                problem = spec_error(error, f"{name}, {scope}")
                if not isinstance(problem, ScopeError):
                    raise problem from error
                refused.append(str(problem))
            else:
                allowed.append(scope)
        return allowed

    def _value(self, name: str, scope: Scope) -> dict[str, Any]:
        """The task as a mapping, its method and scope replaced."""
        value = {key: getattr(self.task, key) for key in self.task.model_fields_set}
        method = self.task.method if name == self.task.method.name else {"name": name}
        return value | {"method": method, "scope": scope}

    def _rate_range(self, own: Shape) -> tuple[float, float]:
        low, high = self._spec.rates
        if "rates" in self._spec.model_fields_set or own.method not in self._methods:
            return low, high
        rate = self._own_rate()
        return min(low, rate), max(high, rate)

    def _own_rate(self) -> float:
        given, method = self.task.train.learning_rate, self.task.method
        return 1.0 if given is None else given / method.rate_at(self._width)

    def _refuse_a_single_point(self) -> None:
        shapes = list(self.shapes())
        choices = [len(shapes), *map(len, self._shares.values()), 1 + len(self.beginnings)]
        if max(choices) == 1 and self._rates[0] == self._rates[1]:
            raise SpecError(
                f'"{shapes[0]}" is all that there is to choose; name more methods, scopes or '
                "sizes, or a range of rates, or train it with: pretune train"
            )

    def shapes(self) -> Iterator[Shape]:
        """All shapes."""
        for method in self._methods:
            for scope in self._scopes[method]:
                for size in self._sizes(method):
                    yield Shape(method, scope, size)

    def _sizes(self, method: str) -> Sequence[int | None]:
        key = size_key(method)
        return {"rank": self._ranks, "length": self._lengths, "": (None,)}[key]

    def draw(self, choose: Choose) -> Point:
        """A point as ``choose`` has it. Every name is asked with the same options always."""
        begin = NOTHING
        if self.beginnings:
            begin = choose.one_of("begin with", (NOTHING, *self.beginnings))
        if begin != NOTHING:
            shape = self.beginnings[begin].shape
        else:
            method = self._one(choose, "method", self._methods)
            scopes = [str(scope) for scope in self._scopes[method]]
            # A choice of fewer scopes than others have is a choice of its own.
            all_of_them = len(scopes) == max(map(len, self._scopes.values()))
            scope = self._one(choose, "scope" if all_of_them else f"scope of {method}", scopes)
            sizes = self._sizes(method)
            size = None if sizes == (None,) else self._one(choose, size_key(method), sizes)
            shape = Shape(method, Scope(scope), size)
        low, high = self._rates
        rate = low if low == high else choose.factor("learning rate", low, high)
        shares = {
            kind: self._one(choose, f"share of {kind}", options)
            for kind, options in self._shares.items()
        }
        return Point(shape, rate, shares, begin)

    @staticmethod
    def _one(choose: Choose, name: str, options: Sequence[Any]) -> Any:
        return options[0] if len(options) == 1 else choose.one_of(name, options)

    def values_of(self, point: Point) -> dict[str, Any] | None:
        """What :meth:`draw` is to be answered so that it draws ``point``; ``None`` where it is no
        point of the space."""
        wanted: dict[str, Any] = {
            "begin with": point.begin,
            "method": point.shape.method,
            "scope": str(point.shape.scope),
            "rank": point.shape.size,
            "length": point.shape.size,
            "learning rate": point.rate,
            **{f"share of {kind}": share for kind, share in point.shares.items()},
        }
        values: dict[str, Any] = {}

        def answer(name: str, *_options: Any) -> Any:
            key = name if name.startswith("share of") else name.partition(" of ")[0]
            values[name] = wanted[key]
            return wanted[key]

        if point.begin == NOTHING and point.shape not in set(self.shapes()):
            return None
        if point.begin not in (NOTHING, *self.beginnings):
            return None
        if not self._rates[0] <= point.rate <= self._rates[1]:
            return None
        return values if self.draw(Choose(answer, answer)) == point else None

    def own(self) -> Point | None:
        """The task as it stands, all of its rows used; ``None`` where that is no point."""
        shares = {kind: options[-1] for kind, options in self._shares.items()}
        begin = NOTHING if self.task.begin_with is None else OWN
        point = Point(shape_of(self.task.method, self.task.scope), self._own_rate(), shares, begin)
        return point if self.values_of(point) is not None else None

    def usual(self, shape: Shape) -> Point:
        """``shape`` at the vetted rate, all rows used."""
        low, high = self._rates
        shares = {kind: options[-1] for kind, options in self._shares.items()}
        return Point(shape, min(max(1.0, low), high), shares)

    def usual_shapes(self) -> list[Shape]:
        """Of each method the shape nearest to its default."""
        found = []
        for method in self._methods:
            default = shape_of(METHODS[method](), self._scopes[method][0])
            sizes = self._sizes(method)
            size = min(sizes, key=lambda one: abs((one or 0) - (default.size or 0)))
            found.append(default._replace(size=size))
        return found

    def method_of(self, point: Point) -> AnyMethod:
        """The method, configured; as the task has it, but for the size, where it is the task's."""
        shape = point.shape
        if point.begin != NOTHING:
            return self.beginnings[point.begin].method
        own = self.task.method
        known = own.model_dump() if own.name == shape.method else {"name": shape.method}
        sized = {} if shape.size is None else {size_key(shape.method): shape.size}
        config: AnyMethod = METHODS[shape.method].model_validate(known | sized)  # type: ignore[assignment]
        return config

    def task_of(self, point: Point) -> TaskSpec:
        """The task, configured as ``point`` says; rows by kind are for the caller to choose."""
        if point == self.own():
            return self.task
        method = self.method_of(point)
        rate = float(f"{point.rate * method.rate_at(self._width):.3g}")
        begun = None if point.begin == NOTHING else self.beginnings[point.begin].folder
        return self.task.model_copy(
            update={
                "method": method,
                "scope": point.shape.scope,
                "begin_with": begun,
                "train": self.task.train.model_copy(
                    update={"learning_rate": None if point.rate == 1.0 else rate}
                ),
            }
        )

    @property
    def pinned(self) -> bool:
        """Whether the rate is one and the same everywhere, so that points can run out."""
        return self._rates[0] == self._rates[1]


def _with(
    given: tuple[int, ...] | None, usual: tuple[int, ...], own: int | None, has: bool
) -> tuple[int, ...]:
    if given is not None:
        return tuple(sorted(given))
    return tuple(sorted({*usual, *((own,) if has and own is not None else ())}))


def _shares(spec: SearchSpec, kind: RowKind, found: float) -> tuple[float, ...]:
    """Limits that make a difference: one above what the rows hold is no limit."""
    given = USUAL_SHARES if spec.shares is None else spec.shares.get(kind, (1.0,))
    limits = {share if share < found else 1.0 for share in given}
    return tuple(sorted(limits))
