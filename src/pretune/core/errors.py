"""One tree of exceptions; each is also a standard type, so that plain ``except`` clauses work.

A message names the user's own value in quotes, the alternatives, and what to do next.
"""

from typing import ClassVar


class PretuneError(Exception):
    """Anything pretune refuses or cannot do; ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class SpecError(PretuneError, ValueError):
    """A task file, option or goal that cannot be understood."""

    exit_code = 2


class UnknownName(SpecError, LookupError):
    """A name that is in no registry; built by :func:`pretune.core.names.unknown`."""


class ScopeError(SpecError):
    """A scope that does not make sense for a method or a prompt, with the reason."""


class DataError(PretuneError, ValueError):
    """Rows that cannot be read, or from which nothing can be learned."""

    exit_code = 3


class BaseModelError(PretuneError, ValueError):
    """A base that cannot be loaded, or is no decoder-only language model."""

    exit_code = 4


class AdapterError(PretuneError, ValueError):
    """An adapter that is damaged, has no effect, or belongs to another base."""

    exit_code = 5


class TrainingError(PretuneError, RuntimeError):
    """Training that cannot go on, such as a loss that is not finite."""

    exit_code = 6


class StorageError(PretuneError, OSError):
    """A file that could not be written or read; nothing half-written is left behind."""

    exit_code = 7


class BusyError(PretuneError, FileExistsError):
    """A folder that another process is writing, or that already holds other work."""

    exit_code = 8


class GoalMissed(PretuneError, ValueError):
    """A version that may not answer: nothing shows that it keeps its task's promises."""

    exit_code = 10


class BudgetError(PretuneError, RuntimeError):
    """A budget that is spent; all that it bought is kept."""

    exit_code = 11


class TeacherError(PretuneError, ConnectionError):
    """A teacher that cannot be reached, refuses the key or the model, or does not answer."""

    exit_code = 12


class MissingExtra(PretuneError, ImportError):
    """An optional dependency that is not installed; the message holds the install command."""

    exit_code = 9

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f'{purpose} needs "{package}", which is not installed; '
            f"install it with: pip install 'pretune[{extra}]'"
        )
