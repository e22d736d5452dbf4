"""Objectives by name; each is one file and one line here."""

from pretune.core.names import unknown
from pretune.training.objective import Objective
from pretune.training.objectives.sft import SFT

OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in (SFT,)}
"""Every objective by name."""


def objective(name: str) -> Objective:
    """The objective called ``name``.

    Raises:
        UnknownName: there is none.
    """
    if name not in OBJECTIVES:
        raise unknown("objective", name, OBJECTIVES)
    return OBJECTIVES[name]
