"""Teachers by what a distil file names: an endpoint, or a base of this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pretune.api.workbench import Workbench
from pretune.bases import Base
from pretune.core.records import FinishReason, Request
from pretune.core.sampling import Sampling
from pretune.core.segments import Role, Turn
from pretune.data.teacher.ask import Ask, CallFailed, Outcome, Reply, Teacher
from pretune.data.teacher.endpoint import EndpointTeacher
from pretune.engine.engine import Engine
from pretune.spec.teacher import TeacherSpec


class BaseTeacher:
    """A base as a teacher, through the serving engine; one answer at a time."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._engine = Engine(base, base.renderer.end_ids)
        self._lock = threading.Lock()

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
        sampling = Sampling(temperature=ask.temperature, seed=ask.seed)
        request = Request("ask", segments, None, ask.max_tokens, sampling)
        with self._lock:
            (done,) = self._engine.generate([request])
        text = renderer.decode(done.ids)
        return Reply(text, done.reason is FinishReason.END, length, len(done.ids))


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
