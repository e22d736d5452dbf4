"""Distilling as a distil file says it: its teacher, its tokenizer."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from pretune.api.teachers import open_teacher
from pretune.bases import load_renderer
from pretune.core.segments import Role, Segment
from pretune.data.distil.distil import Distilled, distil
from pretune.data.documents.chunks import Count
from pretune.data.privacy.masking import open_mask
from pretune.data.teacher.ask import Teacher
from pretune.data.teacher.bill import Standing
from pretune.spec.distil import ChunkSpec, DistilSpec


def distil_documents(
    folder: Path | str,
    out: Path | str,
    spec: DistilSpec,
    *,
    teacher: Teacher | None = None,
    overwrite: bool = False,
    progress: Callable[[Standing], None] | None = None,
) -> Distilled:
    """Make question-answer pairs of the documents in ``folder``; see
    :func:`pretune.data.distil.distil.distil`. ``teacher`` takes the place of the one in ``spec``.
    With ``spec.mask`` all is masked before it is stored or sent.
    """
    given = nullcontext(teacher) if teacher is not None else open_teacher(spec.teacher)
    with given as answering, open_mask(spec.mask) as mask:
        return distil(
            Path(folder),
            Path(out),
            spec,
            answering,
            count=_count(spec.chunks),
            mask=mask,
            overwrite=overwrite,
            progress=progress,
        )


def _count(spec: ChunkSpec) -> Count:
    """How ``spec`` measures chunks."""
    if spec.unit == "characters":
        return len
    base = spec.tokenizer
    renderer = load_renderer(base.name, allow_download=base.allow_download, revision=base.revision)
    return lambda text: sum(map(len, renderer.encode((Segment(Role.CONTEXT, text),))))
