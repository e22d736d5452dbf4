"""Teachers by what a distil file names: an endpoint, or a base of this machine."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pretune.api.workbench import Workbench
from pretune.bases import Base
from pretune.core.errors import MissingExtra
from pretune.core.records import FinishReason, Request
from pretune.core.sampling import Constraint, Sampling
from pretune.core.segments import Role, Turn
from pretune.data.teacher.ask import Ask, CallFailed, Outcome, Reply, Teacher
from pretune.data.teacher.endpoint import EndpointTeacher
from pretune.engine.engine import Engine
from pretune.spec.teacher import TeacherSpec

if TYPE_CHECKING:
    from pretune.serving.grammars import Grammars


class BaseTeacher:
    """A base as a teacher, through the serving engine; one answer at a time."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._engine = Engine(base, base.renderer.end_ids)
        self._lock = threading.Lock()
        self._grammars: Grammars | None = None

    @property
    def model(self) -> str:
        """The base's digest and precision."""
        return f"{self._base.digest}/{self._base.precision}"

    def call(self, ask: Ask) -> Reply:
        """See :class:`pretune.data.teacher.ask.Teacher`."""
        renderer = self._base.renderer
        turns = (Turn(Role.SYSTEM, ask.system), Turn(Role.USER, ask.user))
        segments = renderer.encode(renderer.render(turns))
        length = sum(map(len, segments))
        if length + ask.max_tokens > renderer.context_length:
            raise CallFailed(Outcome.REFUSED, "prompt and answer are longer than the context")
        sampling = Sampling(
            temperature=ask.temperature, seed=ask.seed, constraint=self._constraint(ask.form)
        )
        request = Request("ask", segments, None, ask.max_tokens, sampling)
        with self._lock:
            (done,) = self._engine.generate([request])
        text = renderer.decode(done.ids)
        return Reply(text, done.reason is FinishReason.END, length, len(done.ids))

    def _constraint(self, form: str) -> Constraint | None:
        """What holds an answer to ``form``."""
        if not form:
            return None
        try:
            from pretune.serving.bodies import Wanted
            from pretune.serving.grammars import Grammars
        except ImportError as error:
            raise MissingExtra("llguidance", "serve", "holding a teacher to a form") from error
        with self._lock:
            if self._grammars is None:
                renderer = self._base.renderer
                self._grammars = Grammars(
                    renderer.tokenizer_json, renderer.end_ids, self._base.anatomy.vocabulary
                )
            return asyncio.run(self._grammars.constraint(Wanted("form", schema=form), ""))


@contextmanager
def open_teacher(spec: TeacherSpec) -> Iterator[Teacher]:
    """The teacher that ``spec`` names, for the length of the block.

    Raises:
        SpecError: the variable of its API key is not set.
        BaseModelError: a base that cannot be loaded.
    """
    if spec.endpoint is not None:
        with EndpointTeacher(spec.endpoint) as teacher:
            yield teacher
        return
    assert spec.base is not None
    yield BaseTeacher(Workbench.open(spec.base).base)
