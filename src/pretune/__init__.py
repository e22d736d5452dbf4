"""Tune the prefill. Serve every task at base-model speed."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretune.adapters.files import load_adapter
    from pretune.api import (
        Workbench,
        check,
        compare_runs,
        evaluate,
        export_adapter,
        generate,
        import_adapter,
        merge_adapter,
        register,
        train,
    )
    from pretune.bases import load_base
    from pretune.registry import Registry
    from pretune.spec.task import load_task, parse_task

__version__ = "0.1.0"

__all__ = [
    "Registry",
    "Workbench",
    "check",
    "compare_runs",
    "evaluate",
    "export_adapter",
    "generate",
    "import_adapter",
    "load_adapter",
    "load_base",
    "load_task",
    "merge_adapter",
    "parse_task",
    "register",
    "train",
]

_HOMES = {
    "Registry": "pretune.registry",
    "load_adapter": "pretune.adapters.files",
    "load_base": "pretune.bases",
    "load_task": "pretune.spec.task",
    "parse_task": "pretune.spec.task",
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``import pretune`` alone is quick and needs no torch."""
    if name not in __all__:
        raise AttributeError(f'module "pretune" has no attribute "{name}"')
    return getattr(importlib.import_module(_HOMES.get(name, "pretune.api")), name)
