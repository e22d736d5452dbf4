"""From a task to its tokenised rows: read, render, screen, tokenise, report."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pretune.core import digest
from pretune.core.errors import DataError, SpecError
from pretune.core.protocols import Renderer
from pretune.core.records import Example, Row, TokenExample
from pretune.core.segments import Role, Turn
from pretune.data.descent import Descent, varied
from pretune.data.rejected import FILE_NAME, Rejected, write_rejected
from pretune.data.report import DataReport, SplitReport
from pretune.data.screening import screen
from pretune.data.sources import read_rows
from pretune.data.splits import Split, split_of
from pretune.data.template import Template
from pretune.data.tokens import tokenize
from pretune.spec.task import TaskSpec


@dataclass(frozen=True, slots=True)
class TaskData:
    """A task's rows, ready to train and to be measured on; ``digest`` names their content."""

    train: list[TokenExample]
    validation: list[TokenExample]
    test: list[TokenExample]
    report: DataReport
    digest: str


@dataclass(slots=True)
class _Pool:
    """Rows of one split on their way."""

    examples: list[Example]
    rejected: list[Rejected]


def prepare(task: TaskSpec, renderer: Renderer, out: Path | None = None) -> TaskData:
    """Read, check and tokenise the rows of ``task`` for the base behind ``renderer``.

    Rows that are not used are counted in the report and written with their reasons to
    ``out/rejected.jsonl``.

    Raises:
        DataError: a file that cannot be read, or a split of which no row is left.
        SpecError: labels that the base cannot tell apart.
    """
    pools, descent = _read(task, Template(task))
    screened = screen(
        {split: pool.examples for split, pool in pools.items()},
        closed_answers=task.labels is not None,
    )
    limit, room = token_limit(task, renderer), answer_room(task, renderer)
    tokenized: dict[Split, list[TokenExample]] = {}
    reports: dict[Split, SplitReport] = {}
    rejected: dict[Split, list[Rejected]] = {}
    contents: list[tuple[Split, str]] = []
    for split in Split:
        dropped = [*pools[split].rejected, *screened[split].rejected]
        kept, truncated = [], 0
        for example in screened[split].kept:
            result = tokenize(example, renderer, limit, 0 if split is Split.TRAIN else room)
            if isinstance(result, Rejected):
                dropped.append(result)
                continue
            kept.append(result.example)
            truncated += result.cut > 0
            contents.append((split, result.example.content))
        tokenized[split] = kept
        rejected[split] = dropped
        reports[split] = SplitReport.of(
            kept,
            dropped,
            truncated=truncated,
            repeated=screened[split].repeated,
            labels=task.labels,
            kinds=Counter(descent.kind(split, example.row_id) for example in kept),
        )
    if out is not None:
        write_rejected(out / FILE_NAME, [row for rows in rejected.values() for row in rows])
    name = digest.of_json(contents)
    report = DataReport(task.name, reports, name)
    _check_not_empty(task, report, rejected, out)
    return TaskData(
        tokenized[Split.TRAIN], tokenized[Split.VALIDATION], tokenized[Split.TEST], report, name
    )


def prompt_of(task: TaskSpec, renderer: Renderer, row: Row) -> TokenExample | Rejected:
    """The prompt of ``row`` for an answer that is still to be given; it needs no target column.

    The tokens are those that training put before the answer.
    """
    example = Template(task).prompt(row)
    if isinstance(example, Rejected):
        return example
    result = tokenize(example, renderer, token_limit(task, renderer), answer_room(task, renderer))
    return result if isinstance(result, Rejected) else result.example


def option_ids(task: TaskSpec, renderer: Renderer) -> list[tuple[int, ...]]:
    """Token ids of each label's answer, end token included, in the order of ``task.labels``.

    Exactly what training writes for a row of that label.

    Raises:
        SpecError: the task has no labels, or two labels have the same ids.
    """
    if task.labels is None:
        raise SpecError(f'task "{task.name}" has no labels to choose from; add "labels:"')
    template = Template(task)
    answers = tuple(template.option(label) for label in task.labels)
    options = _written(renderer, answers)  # type: ignore[arg-type] # protocols count as unhashable
    owners: dict[tuple[int, ...], str] = {}
    for label, ids in zip(task.labels, options, strict=True):
        if ids in owners:
            raise SpecError(
                f'labels "{owners[ids]}" and "{label}" are the same tokens to this base; '
                "give one of them other words, as in labels: {label: words}"
            )
        owners[ids] = label
    return list(owners)


@lru_cache(maxsize=32)  # asked again for every prompt that is served
def _written(renderer: Renderer, answers: tuple[Turn, ...]) -> list[tuple[int, ...]]:
    """Token ids that training writes for each of ``answers``, whatever is asked."""
    found = []
    for answer in answers:
        segments = renderer.encode(renderer.render([Turn(Role.USER, "?"), answer]))
        found.append(tuple(i for s in segments if s.role.written_by_model for i in s.ids))
    return found


def token_limit(task: TaskSpec, renderer: Renderer) -> int:
    """Most tokens of a prompt and its answer, the adapter's virtual tokens not counted."""
    context = renderer.context_length - task.method.virtual_tokens
    return min(context, task.train.max_length or context)


def answer_room(task: TaskSpec, renderer: Renderer) -> int:
    """Tokens to leave for an answer: the longest label, or what may be generated."""
    if task.labels is None:
        return task.generate.max_new_tokens
    return max(map(len, option_ids(task, renderer)))


def read_examples(
    task: TaskSpec, template: Template
) -> Iterator[tuple[Split, Row | None, Example | Rejected]]:
    """Rows of ``task``'s files in order, with their splits; a row that cannot be read is ``None``.

    A row that was varied from another is not cut from the training rows: the other may be one of
    them. Where files of two splits share a name, ids begin with the split that names the file, so
    that an id is one row's. One row is in memory at a time.
    """
    data = task.data
    named = Counter(path.name for path in data.files)
    given = {Split.TRAIN: data.train, Split.VALIDATION: data.validation, Split.TEST: data.test}
    shares = {
        Split.VALIDATION: data.validation_share if data.validation is None else 0.0,
        Split.TEST: data.test_share if data.test is None else 0.0,
    }
    for split, sources in given.items():
        for source in sources or ():
            shared = isinstance(source, Path) and named[source.name] > 1
            for row in _renamed(read_rows(source, data.encoding), f"{split}/" if shared else ""):
                if isinstance(row, Rejected):
                    yield split, None, row
                    continue
                whole = split is not Split.TRAIN or varied(row)
                cut = split if whole else split_of(template.split_key(row), shares)
                yield cut, row, template.example(row)


def _renamed(rows: Iterator[Row | Rejected], before: str) -> Iterator[Row | Rejected]:
    """``rows`` with ``before`` before their ids."""
    if not before:
        yield from rows
        return
    for row in rows:
        if isinstance(row, Rejected):
            yield replace(row, row_id=before + row.row_id)
        else:
            yield replace(row, id=before + row.id)


def _read(task: TaskSpec, template: Template) -> tuple[dict[Split, _Pool], Descent]:
    pools, descent = {split: _Pool([], []) for split in Split}, Descent()
    for split, row, example in read_examples(task, template):
        refused = example if row is None else descent.add(split, row)
        if isinstance(example, Rejected):
            pools[split].rejected.append(example)
        elif isinstance(refused, Rejected):
            pools[split].rejected.append(refused)
        else:
            pools[split].examples.append(example)
    for split, pool in pools.items():
        pool.examples, leaks = descent.parted(split, pool.examples)
        pool.rejected += leaks
    return pools, descent


def _check_not_empty(
    task: TaskSpec,
    report: DataReport,
    rejected: Mapping[Split, Sequence[Rejected]],
    out: Path | None,
) -> None:
    wanted = {
        Split.TRAIN: True,
        Split.VALIDATION: True,
        Split.TEST: task.data.test is not None or task.data.test_share > 0,
    }
    for split, counts in report.splits.items():
        if wanted[split] and (not counts.kept or not counts.target_total):
            raise DataError(_nothing_left(task, split, counts, rejected[split], out))


def _nothing_left(
    task: TaskSpec,
    split: Split,
    counts: SplitReport,
    rejected: Sequence[Rejected],
    out: Path | None,
) -> str:
    """Why a split is empty: the counts, one row for each of three reasons, and what to do."""
    lead = "nothing to learn from, zero target tokens" if split is Split.TRAIN else "nothing left"
    message = f'task "{task.name}", {split}: {lead}; {counts.kept} of {counts.read} rows kept'
    if rejected:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.dropped.items())
        first: dict[str, Rejected] = {}
        for row in rejected:
            first.setdefault(row.reason, row)
        shown = "".join(f"\n  {row.row_id}: {row.detail}" for row in list(first.values())[:3])
        where = f'\n  every row and its reason: "{out / FILE_NAME}"' if out else ""
        return f"{message} ({reasons}){shown}{where}"
    if getattr(task.data, split) is None:
        share = getattr(task.data, f"{split}_share")
        return (
            f'{message}; train has too few rows for {split}_share "{share}"; '
            f"raise it, or name data.{split}; rows varied from others are not held out"
        )
    return f"{message}; the files hold no rows"
