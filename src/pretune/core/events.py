"""Events: how long work tells what happens, without knowing who listens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """``kind`` names what happened (``train.step``, ``eval.done``), ``step`` when, ``values`` what
    was measured. Values never hold a user's text."""

    kind: str
    step: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
