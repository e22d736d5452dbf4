"""A process that dies while the files of a step take their names."""

import os

import pytest

from pretune.data.workshop import draft


class Stopped(Exception):
    """Stands for a death of the process."""


def die_after(monkeypatch: pytest.MonkeyPatch, renamed: int) -> None:
    """Once so many parts have their names, and at the latest before the lineage is written."""
    real, calls = os.replace, []

    def replace(source, target):
        if str(source).endswith(".part"):
            calls.append(target)
            if len(calls) > renamed:
                raise Stopped
        real(source, target)

    def refuse(*_):
        raise Stopped

    monkeypatch.setattr(draft.os, "replace", replace)
    monkeypatch.setattr(draft, "add_line", refuse)
