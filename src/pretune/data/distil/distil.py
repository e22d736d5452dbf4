"""Distilling: documents to chunks to pairs, each step a stream that survives a kill."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pretune.core import digest
from pretune.core.files import folder_lock
from pretune.core.origin import Origin, RowKind, made
from pretune.data.distil.asking import Questioner, Questions
from pretune.data.distil.checks import Source
from pretune.data.distil.pairs import Fault, Judged
from pretune.data.distil.prompts import LANGUAGES, prompts_for, prompts_in
from pretune.data.distil.unlike import Unlike
from pretune.data.documents.chunks import Count
from pretune.data.documents.step import document_id, shown_name, write_chunks
from pretune.data.inorder import in_order
from pretune.data.privacy.masking import Mask
from pretune.data.teacher.ask import Teacher
from pretune.data.teacher.asker import Asker
from pretune.data.teacher.bill import Bill, Standing
from pretune.data.teacher.ledger import Ledger
from pretune.data.terms import squeezed
from pretune.data.textindex import TextIndex
from pretune.data.workshop.draft import Draft, write_rows
from pretune.data.workshop.seen import Seen
from pretune.data.workshop.step import Step, Written
from pretune.spec.distil import DistilSpec

_SHORTEST = 20
"""Letters and digits of a chunk that is worth a question."""

_CHECKPOINT = 20
"""Chunks between two checkpoints: the answers are safe already, only the checks would be redone."""


@dataclass(frozen=True)
class Distilled:
    """What was written, and what it cost."""

    chunks: Written
    pairs: Written
    bill: Bill

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        steps = {"chunks": self.chunks.to_dict(), "pairs": self.pairs.to_dict()}
        return steps | self.bill.to_dict()


def distil(
    folder: Path,
    out: Path,
    spec: DistilSpec,
    teacher: Teacher,
    *,
    count: Count = len,
    mask: Mask | None = None,
    overwrite: bool = False,
    progress: Callable[[Standing], None] | None = None,
) -> Distilled:
    """Make question-answer pairs of the documents in ``folder``.

    ``out`` gets ``chunks.jsonl``, ``documents.jsonl``, ``pairs.jsonl``, ``rejected.jsonl`` and, in
    ``teacher/``, every answer of the teacher. After a failure or a kill the same call goes on; what
    was answered is not asked again, not even with ``overwrite``. ``count`` measures chunks;
    ``mask`` sees documents before anything of them is stored or sent.

    Raises:
        DataError: no document that could be read.
        MissingExtra: a package that reads them is not installed.
        BusyError: another process works in ``out``, or other work is kept there.
        BudgetError: the budget is spent, and ``when_spent`` is ``stop``.
        TeacherError: the teacher answers no more.
    """
    endpoint = spec.teacher.endpoint
    prices = endpoint.prices if endpoint else None
    kept = out / "teacher"
    with folder_lock(kept, "distilling"), Ledger(kept / "answers.sqlite", prices) as ledger:
        chunked = write_chunks(
            folder, out, spec.chunks, spec.limits, count=count, mask=mask, overwrite=overwrite
        )
        asker = Asker.of(spec.teacher, spec.budget, teacher, ledger)
        step = _step(folder, spec, teacher, chunked.files["chunks"], mask)
        work = _Work(spec, asker, chunked, kept, step, progress)
        files = {"pairs": out / "pairs.jsonl", "rejected": out / "rejected.jsonl"}
        written = write_rows(step, files, work.run, overwrite=overwrite)
        return Distilled(chunked, written, Bill.of(ledger, asker, spec.teacher))


def _step(
    folder: Path, spec: DistilSpec, teacher: Teacher, chunks: Path, mask: Mask | None
) -> Step:
    """What decides the pairs: neither where the endpoint is, nor how fast or dear it is."""
    settings = {
        **spec.model_dump(mode="json", include={"questions", "tries", "checks", "seed"}),
        "model": teacher.model,
        "temperature": spec.teacher.temperature,
        "max_tokens": spec.teacher.max_tokens,
        "prompts": {language: prompts_in(language).digest for language in LANGUAGES},
        "mask": mask and mask.name,
    }
    return Step("distil", shown_name(folder.name), settings, {chunks.name: digest.of_file(chunks)})


class _Work:
    """Fills the draft of pairs: a chunk is a unit."""

    def __init__(
        self,
        spec: DistilSpec,
        asker: Asker,
        chunked: Written,
        folder: Path,
        step: Step,
        progress: Callable[[Standing], None] | None,
    ) -> None:
        self._spec, self._asker, self._step = spec, asker, step
        self._chunks, self._of = chunked.files["chunks"], chunked.rows["chunks"]
        self._folder = folder
        self._progress = progress

    def run(self, draft: Draft) -> None:
        """Ask about every chunk that ``draft`` does not hold yet."""
        with contextlib.ExitStack() as closing:
            chunks = TextIndex(self._folder / "chunks.index")
            closing.callback(chunks.close)
            asked = TextIndex(self._folder / "questions.index")
            closing.callback(asked.close)
            chunks.add((one.number, one.whole, one.whole) for one in _sources(self._chunks))
            unlike = Unlike(asked, self._spec.checks.same)
            for row in draft.written("pairs"):
                unlike.add(row["question"], row["answer"], row["support"], row["chunk"])
            questioner = Questioner(self._spec, self._asker, chunks)
            endpoint = self._spec.teacher.endpoint
            threads = endpoint.concurrency if endpoint else 1
            rest = islice(_worth_asking(self._chunks), draft.units, None)
            results = in_order(lambda one: _about(questioner, *one), rest, threads)
            closing.enter_context(contextlib.closing(results))
            closing.callback(self._asker.stop)
            for made_of in results:
                self._take(made_of, draft, unlike)

    def _take(self, made_of: "Questions | str", draft: Draft, unlike: Unlike) -> None:
        if isinstance(made_of, str):
            draft.count(made_of)
        else:
            if made_of.unasked is not None:
                if self._spec.budget.when_spent == "stop":
                    raise made_of.unasked
                draft.count("chunks that the budget did not reach, or not wholly")
            for kind in made_of.none:
                draft.count(f"nothing to ask: {kind}")
            for one in made_of.judged:
                self._write(made_of.source, one, draft, unlike)
        draft.end_unit()
        if draft.units % _CHECKPOINT == 0:
            draft.save()
        if self._progress is not None:
            rows, spent = draft.rows, self._asker.spent
            standing = Standing(draft.units, self._of, rows["pairs"], rows["rejected"], spent)
            self._progress(standing)

    def _write(self, source: Source, one: Judged, draft: Draft, unlike: Unlike) -> None:
        pair, fault = one.pair, one.fault
        if (
            pair
            and not fault
            and not unlike.add(pair.question, pair.answer, pair.support, source.id)
        ):
            fault = Fault.REPEATED
        if fault or pair is None:
            draft.count(f"rejected: {fault}")
            draft.write("rejected", _rejected(source, one, fault))
            return
        draft.count(f"kept: {pair.type}")
        fields = {
            "question": pair.question,
            "answer": pair.answer,
            "context": source.whole,
            "type": pair.type,
            "support": pair.support,
            "document": source.document,
            "headings": list(source.headings),
            "chunk": source.id,
            "score": one.score,
            "checks": one.checks,
        }
        root = document_id(source.document)
        parent = Origin(source.id, RowKind.SEED, root, root, "", "")
        draft.write("pairs", made(fields, RowKind.SYNTHETIC, "distil", self._step.stamp, parent))


def _rejected(source: Source, one: Judged, fault: Fault | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "reason": fault,
        "detail": one.detail,
        "type": one.type,
        "document": source.document,
        "chunk": source.id,
        "checks": one.checks,
    }
    if one.pair is None:
        return {**found, "reply": one.text}
    pair = {"question": one.pair.question, "answer": one.pair.answer, "support": one.pair.support}
    return {**found, **pair}


def _about(questioner: Questioner, source: Source, skip: str | None) -> Questions | str:
    return skip or questioner.about(source)


def _sources(path: Path) -> Iterator[Source]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            row = json.loads(line)
            text = row["text"]
            headings = tuple(row["headings"])
            yield Source(number, row["id"], row["document"], headings, text, prompts_for(text))


def _worth_asking(path: Path) -> Iterator[tuple[Source, str | None]]:
    """Every chunk, with the reason where it is not asked about."""
    seen = Seen()
    for source in _sources(path):
        text = squeezed(source.text)
        if len(text) < _SHORTEST:
            yield source, "chunks too short to ask about"
        elif not seen.add(int(digest.of_bytes(text.encode())[:16], 16)):
            yield source, "chunks that stood before, word by word"
        else:
            yield source, None
