"""Prompts as forms: filling them in, and telling when a teacher gives one back."""

import re
from collections.abc import Iterable, Mapping

from pretune.data.terms import folded


def filled(form: str, values: Mapping[str, str]) -> str:
    """``form`` with its ``{fields}`` filled in one pass: braces in a text are not fields."""
    fields = re.compile(rf"\{{({'|'.join(map(re.escape, values))})\}}")
    return fields.sub(lambda field: values[field[1]], form)


def marks_of(forms: Iterable[str], least: int) -> set[str]:
    """Lines of ``forms`` of ``least`` characters or more, which no answer repeats by chance."""
    lines = "\n".join(forms).splitlines()
    return {folded(line) for line in lines if len(line) >= least and "{" not in line}


def repeats(text: str, marks: Iterable[str]) -> bool:
    """Whether ``text`` holds one of ``marks``."""
    given = folded(text)
    return any(mark in given for mark in marks)
