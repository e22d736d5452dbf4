"""Varying rows as a task and a rewriting file say it: their teacher, their mask, their bill."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretune.api.teachers import open_teacher
from pretune.api.translators import Translators
from pretune.core.files import folder_lock
from pretune.data.augment import augment
from pretune.data.privacy.masking import open_mask
from pretune.data.teacher.ask import Teacher
from pretune.data.teacher.asker import Asker
from pretune.data.teacher.bill import Bill, Standing
from pretune.data.teacher.ledger import Ledger
from pretune.data.workshop.step import Written
from pretune.spec.augmenting import AugmentSpec
from pretune.spec.rewriting import RewriteSpec
from pretune.spec.task import TaskSpec


@dataclass(frozen=True)
class Augmented:
    """What was written, and what it cost; no ``bill`` where nobody was asked."""

    written: Written
    bill: Bill | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return self.written.to_dict() | (self.bill.to_dict() if self.bill else {})


def augment_rows(
    task: TaskSpec,
    out: Path,
    spec: AugmentSpec,
    *,
    teacher: Teacher | None = None,
    overwrite: bool = False,
    progress: Callable[[Standing], None] | None = None,
) -> Augmented:
    """Write variants of ``task``'s training rows to ``out``; see
    :func:`pretune.data.augment.augment.augment_rows`.

    With operators that ask, every answer is kept in the folder ``<out>.teacher``, and is not paid
    for again. ``teacher`` takes the place of the one in ``spec.rewriting``.

    Raises:
        BusyError: another process asks for the same file.
        BudgetError: the budget is spent, and ``when_spent`` is ``stop``.
        TeacherError: the teacher answers no more.
    """
    asking = spec.rewriting
    if asking is None:
        return Augmented(
            augment.augment_rows(task, out, spec, overwrite=overwrite, progress=progress)
        )
    kept = out.with_name(f"{out.stem}.teacher")
    endpoint = asking.teacher.endpoint if asking.teacher else None
    prices = endpoint.prices if endpoint else None
    with (
        folder_lock(kept, "asking a teacher"),
        Ledger(kept / "answers.sqlite", prices) as ledger,
        _answering(asking, teacher) as answering,
        open_mask(asking.mask) as mask,
    ):
        asker = Asker.of(asking.teacher, asking.budget, answering, ledger)
        asked = augment.Asked(asker, answering.model, mask)
        written = augment.augment_rows(
            task, out, spec, asked=asked, overwrite=overwrite, progress=progress
        )
        return Augmented(written, Bill.of(ledger, asker, asking.teacher))


@contextmanager
def _answering(spec: RewriteSpec, given: Teacher | None) -> Iterator[Teacher]:
    if given is not None:
        yield given
    elif spec.translators is not None:
        yield Translators(spec.translators)
    else:
        assert spec.teacher is not None
        with open_teacher(spec.teacher) as teacher:
            yield teacher
