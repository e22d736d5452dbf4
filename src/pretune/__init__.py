"""Tune the prefill. Serve every task at base-model speed."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretune.adapters.files import load_adapter
    from pretune.api import (
        GateOptions,
        Workbench,
        augment_rows,
        check,
        compare_runs,
        distil_documents,
        evaluate,
        export_adapter,
        gate,
        generate,
        import_adapter,
        label_rows,
        merge_adapter,
        probe_augmentation,
        register,
        soften_rows,
        train,
        tune,
    )
    from pretune.bases import load_base
    from pretune.data.clean.clean import clean_rows
    from pretune.data.mix import mix_rows
    from pretune.data.privacy.mask import mask_rows, unmask_rows
    from pretune.data.rules.check import check_rules
    from pretune.data.rules.make import make_rows
    from pretune.registry import Registry
    from pretune.spec.distil import load_distil, parse_distil
    from pretune.spec.probing import parse_probe
    from pretune.spec.rewriting import load_rewriting, parse_rewriting
    from pretune.spec.rules import load_rules, parse_rules
    from pretune.spec.search import load_search, parse_search
    from pretune.spec.task import load_task, parse_task

__version__ = "0.1.0"

__all__ = [
    "GateOptions",
    "PlanOptions",
    "Registry",
    "Workbench",
    "augment_rows",
    "check",
    "check_rules",
    "clean_rows",
    "compare_runs",
    "distil_documents",
    "evaluate",
    "export_adapter",
    "gate",
    "generate",
    "import_adapter",
    "label_rows",
    "load_adapter",
    "load_base",
    "load_distil",
    "load_rewriting",
    "load_rules",
    "load_search",
    "load_task",
    "make_rows",
    "mask_rows",
    "merge_adapter",
    "mix_rows",
    "parse_distil",
    "parse_probe",
    "parse_rewriting",
    "parse_rules",
    "parse_search",
    "parse_task",
    "plan",
    "probe_augmentation",
    "register",
    "soften_rows",
    "train",
    "tune",
    "unmask_rows",
]

_HOMES = {
    "Registry": "pretune.registry",
    "check_rules": "pretune.data.rules.check",
    "clean_rows": "pretune.data.clean.clean",
    "load_adapter": "pretune.adapters.files",
    "load_base": "pretune.bases",
    "load_distil": "pretune.spec.distil",
    "load_rewriting": "pretune.spec.rewriting",
    "load_rules": "pretune.spec.rules",
    "load_search": "pretune.spec.search",
    "load_task": "pretune.spec.task",
    "make_rows": "pretune.data.rules.make",
    "mask_rows": "pretune.data.privacy.mask",
    "mix_rows": "pretune.data.mix",
    "parse_distil": "pretune.spec.distil",
    "parse_probe": "pretune.spec.probing",
    "parse_rewriting": "pretune.spec.rewriting",
    "parse_rules": "pretune.spec.rules",
    "parse_search": "pretune.spec.search",
    "parse_task": "pretune.spec.task",
    "unmask_rows": "pretune.data.privacy.mask",
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``import pretune`` alone is quick and needs no torch."""
    if name not in __all__:
        raise AttributeError(f'module "pretune" has no attribute "{name}"')
    return getattr(importlib.import_module(_HOMES.get(name, "pretune.api")), name)
