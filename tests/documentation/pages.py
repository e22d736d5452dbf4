"""The Markdown pages of the repository and their fences, and how the fences are run.

The convention, told to readers in docs/index.md:

- ``python``: executed, in order, all fences of a page in one namespace and one empty folder. If its
  first line names a file of the package (``# src/pretune/.../x.py``), it is a piece of that module.
- ``text`` right after a ``python`` fence: exactly what that fence prints.
- ``console``: commands, not run; each ``$ pretune ...`` must parse, options and all.
- ``yaml``: a task file, a limits file, or some of the keys of either; must parse.
"""

import contextlib
import importlib
import io
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretune.evaluation import metrics
from pretune.evaluation.metrics import metric

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")),
]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MODULE = re.compile(r"# src/(pretune/[\w/]+)\.py\b")


@dataclass(frozen=True)
class Fence:
    page: Path
    line: int
    kind: str
    text: str
    follows: bool
    """Nothing but blank lines stands between the fence before and this one."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fences(page: Path, *kinds: str) -> list[Fence]:
    text = page.read_text("utf-8")
    found, end = [], 0
    for match in _FENCE.finditer(text):
        follows = bool(found) and not text[end : match.start()].strip()
        line = text.count("\n", 0, match.start()) + 2
        found.append(Fence(page, line, match[1], match[2], follows))
        end = match.end()
    return [fence for fence in found if not kinds or fence.kind in kinds]


def all_fences(*kinds: str) -> list[Fence]:
    return [fence for page in PAGES if page.exists() for fence in fences(page, *kinds)]


class PageRun:
    """Runs the Python fences of a page; modules that they add or extend are put back by close."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "page"}
        self.printed = ""
        self._undo: list[Callable[[], None]] = []

    def run(self, fence: Fence) -> None:
        code = compile("\n" * (fence.line - 1) + fence.text, str(fence), "exec")
        module = _MODULE.match(fence.text)
        names = self._module(module[1].replace("/", ".")) if module else self.names
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, names)
        if module:
            self.names |= {key: value for key, value in names.items() if key[0] != "_"}
        self.printed = out.getvalue()

    def close(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _module(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(ModuleNotFoundError):
            module = importlib.import_module(name)
            before = dict(vars(module))

            def restore() -> None:
                vars(module).clear()
                vars(module).update(before)

            self._undo.append(restore)
            return vars(module)
        module = sys.modules[name] = types.ModuleType(name)
        self._undo.append(lambda: sys.modules.pop(name))
        return vars(module)


@contextlib.contextmanager
def running() -> Iterator[PageRun]:
    """A page's run, of which nothing is left afterwards: no module, no registered metric."""
    metrics.metric_names()  # every shipped metric registers before the list is copied
    run, registered = PageRun(), list(metric._REGISTERED)
    try:
        yield run
    finally:
        run.close()
        metric._REGISTERED[:] = registered
        metrics._known.cache_clear()
