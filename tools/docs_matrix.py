"""docs/method-matrix.md: what each method can do at each scope, found by asking the code."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretune.adapters.adapter import Adapter
from pretune.adapters.merge import check_mergeable
from pretune.adapters.peft_format import export_peft
from pretune.adapters.registry import build_method
from pretune.bases import Base, load_base
from pretune.bases.anatomy import Part
from pretune.core.errors import PretuneError, ScopeError
from pretune.core.scope import Scope
from pretune.spec.methods import METHODS, MethodConfig

PAGE = Path(__file__).parents[1] / "docs" / "method-matrix.md"

HEAD = """\
# Methods x scopes

<!-- Written by tools/docs.py; each cell is the answer of the code. -->

What each method can do with its defaults. How to choose: [methods and scopes](methods.md).

- **train**: can be trained, measured and served at this scope.
- **merge**: can be folded into the base's weights.
- **PEFT**: can be written in PEFT's format. *on request*: only with `--as-all-tokens`, as PEFT will
  apply it to generated tokens too.
"""

_PLACES = {
    Part.FFN: "FFNs",
    Part.BLOCK: "blocks",
    Part.EMBEDDING: "input embedding",
    Part.LEAF: "every weight",
}


def page() -> str:
    """The whole page as Markdown."""
    base = load_base()
    return "\n".join([HEAD, *_scopes(base), *_reasons(), *_sizes(base)])


def _scopes(base: Base) -> Iterator[str]:
    lines = [f"| method | {' | '.join(f'`{scope}`' for scope in Scope)} |"]
    lines.append("| --- |" + " --- |" * len(Scope))
    for name, kind in METHODS.items():
        cells = [_abilities(base, kind(), scope) for scope in Scope]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    yield "\n".join([*lines, ""])


def _abilities(base: Base, config: MethodConfig, scope: Scope) -> str:
    try:
        config.check_scope(scope)
    except ScopeError:
        return "refused"
    adapter = _moved(base, config, scope)
    able = ["train"]
    if _allows(check_mergeable, adapter):
        able.append("merge")
    with tempfile.TemporaryDirectory() as folder:
        if _allows(export_peft, adapter, base, Path(folder) / "plain"):
            able.append("PEFT")
        elif _allows(export_peft, adapter, base, Path(folder) / "all", as_all_tokens=True):
            able.append("PEFT on request")
    return ", ".join(able)


def _moved(base: Base, config: Any, scope: Scope) -> Adapter:
    """An adapter as training might leave it: its start, moved, so that it has an effect."""
    method = build_method(config)
    weights = method.bake(base.anatomy, method.initial(base, "Answer.", 0))
    moved = {name: value + 0.01 for name, value in weights.items()}
    return Adapter(config, scope, moved, base.digest, base.renderer.digest)


def _allows(action: Any, *arguments: Any, **options: Any) -> bool:
    try:
        action(*arguments, **options)
    except PretuneError:
        return False
    return True


def _reasons() -> Iterator[str]:
    yield "## Why refused\n"
    lines = [
        f"- `{name}` at `{scope}`: {reason}."
        for name, kind in METHODS.items()
        for scope, reason in kind.refused_scopes.items()
    ]
    yield "\n".join([*lines, ""])


def _sizes(base: Base) -> Iterator[str]:
    yield "## Size with default options\n"
    yield f"On the embedded base ({base.parameters:,} weights).\n"
    lines = ["| method | acts on | virtual tokens | trained weights | learning rate | batch |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, kind in METHODS.items():
        config: Any = kind()
        method = build_method(config)
        trained = sum(value.numel() for value in method.initial(base, "Answer.", 0).values())
        lines.append(
            f"| `{name}` | {_acts_on(base, config)} | {config.virtual_tokens or ''} | "
            f"{_once(base, name, trained):,} | {config.learning_rate:g} | {config.batch_size} |"
        )
    yield "\n".join([*lines, ""])


def _once(base: Base, name: str, trained: int) -> int:
    return base.parameters if name == "full" else trained


def _acts_on(base: Base, config: Any) -> str:
    parts = dict.fromkeys(site.part for site in build_method(config).sites(base.anatomy))
    linear = [part.value for part in parts if part not in _PLACES]
    places = [_PLACES[part] for part in _PLACES if part in parts]
    return ", ".join([*([f"layers {', '.join(linear)}"] if linear else []), *places])
