"""Evidence: what a gate measured of one adapter under one spec, and its verdict; a JSON file named
by its digest. It holds numbers, names and reasons, and no text of rows or answers.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from pretune.core.digest import of_bytes
from pretune.core.errors import StorageError
from pretune.core.promise import Promise
from pretune.evaluation.goals import Outcome
from pretune.evaluation.intervals import Interval, widened
from pretune.spec.model import Strict

FORMAT = 1
"""Version of the fields of evidence."""

MOST_BYTES = 2**20
"""Size of a file of evidence; a larger one is none."""

PROBED = 200
"""Most rows that a gate asks again in other forms, and under load."""

_DIGEST = "^[0-9a-f]{64}$"


class Verdict(StrEnum):
    """What a gate says. ``undecided``: nothing fails, and something could not be decided."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"


class Measure(Strict):
    """A ``value`` with its 95 % interval over ``n`` of something; ``high`` is ``None`` where so few
    bound it from below only."""

    value: float = Field(allow_inf_nan=False)
    low: float = Field(allow_inf_nan=False)
    high: float | None = Field(allow_inf_nan=False)
    n: int = Field(ge=0)
    of: str = "rows"

    @classmethod
    def from_interval(cls, found: Interval, of: str = "rows") -> "Measure":
        """The measure that ``found`` is."""
        high = None if found.high == float("inf") else found.high
        return cls(value=found.value, low=found.low, high=high, n=found.n, of=of)

    @classmethod
    def of_difference(cls, found: Interval) -> "Measure":
        """The measure of two runs' difference: that no row differs shows no more of others than
        that all are right."""
        return cls.from_interval(widened(found, least=-1.0))

    @property
    def interval(self) -> Interval:
        """The same for arithmetic."""
        high = float("inf") if self.high is None else self.high
        return Interval(self.value, self.low, high, self.n)

    def __str__(self) -> str:
        high = "no bound" if self.high is None else f"{self.high:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {high}]"


class Check(Strict):
    """Something that the verdict hangs on: a goal, or the comparison with the current version.

    ``missing``: how many more of ``of`` would decide it, where that can be said.
    """

    name: str
    outcome: Outcome
    reason: str
    need: str | None = None
    missing: int | None = Field(None, ge=0)
    of: str = "rows"


class Compared(Strict):
    """A metric of the current version and of this one on the same rows; ``delta`` is this less
    that, ``verdict`` what :func:`pretune.evaluation.compare.compare` says of it."""

    metric: str
    current: float
    new: float
    delta: Measure
    p: float
    verdict: str


class Bin(Strict):
    """Rows whose confidence lies between ``low`` and ``high``: their mean ``confidence``, and the
    share that is ``right``."""

    low: float
    high: float
    rows: int
    confidence: float
    right: float


class Calibration(Strict):
    """The expected calibration error, and the bins of its diagram; empty bins are left out."""

    ece: Measure
    bins: tuple[Bin, ...]


class Perturbed(Strict):
    """The main metric where rows or template were changed; ``drop`` is what it lost, ``None`` with
    a ``reason`` where there was nothing to change."""

    name: str
    says: str
    before: float | None = None
    after: float | None = None
    drop: Measure | None = None
    reason: str = ""


class Forgetting(Strict):
    """Perplexities of general text after prompts read by the base and by the adapter; ``ratio`` is
    adapter over base."""

    base: float
    adapter: float
    ratio: Measure


class Safety(Strict):
    """Probes of one kind: the ``share`` that held, what the ``base`` alone held of the same, and
    the names of those that did not; ``None`` with a ``reason`` where none applies."""

    kind: str
    says: str
    share: Measure | None = None
    base: float | None = None
    failed: tuple[str, ...] = ()
    reason: str = ""


class Load(Strict):
    """Requests over HTTP, at ``rps`` a second or, with ``None``, one after another.

    ``measures``: percentiles in milliseconds by name. ``carried`` is answers a second. ``memory``
    is the server's peak in bytes, ``None`` where this system does not say.
    """

    rps: float | None
    sent: int
    failed: int
    seconds: float
    carried: float
    measures: dict[str, Measure]
    memory: int | None = None


class Subject(NamedTuple):
    """What is gated, all by digest but the task's name."""

    task: str
    adapter: str
    base: str
    spec: str


class Evidence(Strict):
    """One gate's report. ``spec``, ``adapter``, ``base`` are digests of what was gated, ``rows`` of
    the rows it was gated on; ``current`` is the version it was compared with. ``privacy`` is what
    the training promised of any one row.

    Raises:
        ValueError: the verdict is not what the checks say.
    """

    format: int = FORMAT
    task: str
    spec: str = Field(pattern=_DIGEST)
    adapter: str = Field(pattern=_DIGEST)
    base: str = Field(pattern=_DIGEST)
    rows: str = Field(pattern=_DIGEST)
    split: str
    method: str
    scope: str
    created: str
    pretune: str
    machine: dict[str, str]
    current: str | None = Field(None, pattern=_DIGEST)
    # Left out where there is none: evidence without it keeps its digest.
    privacy: Promise | None = Field(None, exclude_if=lambda one: one is None)
    verdict: Verdict
    checks: tuple[Check, ...]
    metrics: dict[str, Measure]
    slices: dict[str, Measure] = Field(default_factory=dict)
    compared: tuple[Compared, ...] = ()
    calibration: Calibration | None = None
    robustness: tuple[Perturbed, ...] = ()
    forgetting: Forgetting | None = None
    safety: tuple[Safety, ...] = ()
    served: tuple[Load, ...] = ()
    sizes: dict[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _verdict_follows(self) -> Self:
        if self.verdict is not (follows := verdict_of(self.checks)):
            raise ValueError(f'verdict "{self.verdict}" where the checks say "{follows}"')
        return self

    @property
    def subject(self) -> Subject:
        """What was gated."""
        return Subject(self.task, self.adapter, self.base, self.spec)

    @property
    def against(self) -> tuple[Check, ...]:
        """The checks that keep it from passing."""
        return tuple(one for one in self.checks if one.outcome is not Outcome.PASS)

    def file(self) -> bytes:
        """The bytes of its file."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def digest(self) -> str:
        """Its name: the digest of its file."""
        return of_bytes(self.file())


def verdict_of(checks: tuple[Check, ...]) -> Verdict:
    """What ``checks`` come to: one failure fails; what is undecided or was not measured leaves the
    whole undecided; no check at all passes, as nothing was promised."""
    outcomes = {one.outcome for one in checks}
    if Outcome.FAIL in outcomes:
        return Verdict.FAIL
    return Verdict.PASS if outcomes <= {Outcome.PASS} else Verdict.UNDECIDED


def read_evidence(path: Path) -> Evidence:
    """The evidence in the file ``path``.

    Raises:
        StorageError: no such file, damaged or cut short, larger than any evidence, of a later
            format, or with a verdict that its checks do not bear out.
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(MOST_BYTES + 1)
    except OSError as error:
        raise StorageError(
            f'cannot read evidence "{path}": {error.strerror}; name the "evidence.json" that '
            "pretune gate wrote"
        ) from error
    return parse_evidence(data, path)


def parse_evidence(data: bytes, path: Path) -> Evidence:
    """The evidence in ``data``, the bytes of ``path``; raises as :func:`read_evidence`."""
    if len(data) > MOST_BYTES:
        raise StorageError(f'"{path}" is larger than {MOST_BYTES:,} bytes, and no evidence')
    try:
        raw: Any = json.loads(data)
        found = raw["format"]
        if found == FORMAT:
            return Evidence.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise StorageError(
            f'"{path}" is no evidence of a gate: {where}: {first["msg"]}; run the gate again'
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f'"{path}" is damaged; run the gate again') from error
    raise StorageError(
        f'"{path}" has format "{str(found)[:20]}", this version reads {FORMAT}; update pretune'
    )
