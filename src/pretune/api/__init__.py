"""What the commands do, for programs: the parts wired together once, used by the command line too.

>>> import pretune
>>> task = pretune.load_task("ticket-urgency.yaml")          # doctest: +SKIP
>>> run = pretune.train(task, "runs/ticket-urgency")         # doctest: +SKIP
>>> pretune.generate(task, [{"text": "..."}], run.adapter)   # doctest: +SKIP
"""

from pretune.api.augment import Augmented, augment_rows
from pretune.api.compare import compare_runs
from pretune.api.distil import distil_documents
from pretune.api.exchange import export_adapter, import_adapter, merge_adapter
from pretune.api.gating import Gated, GateOptions, gate
from pretune.api.labelling import label_rows, soften_rows
from pretune.api.plans import PlanOptions, plan
from pretune.api.probe import probe_augmentation
from pretune.api.registry import register
from pretune.api.tasks import check, check_task_goals, evaluate, generate, train
from pretune.api.tuning import tune
from pretune.api.workbench import Answer, TrainedRun, Workbench
from pretune.data.clean.clean import clean_rows
from pretune.data.mix import mix_rows
from pretune.data.privacy.mask import mask_rows, unmask_rows
from pretune.data.rules.check import check_rules
from pretune.data.rules.make import make_rows

__all__ = [
    "Answer",
    "Augmented",
    "GateOptions",
    "Gated",
    "PlanOptions",
    "TrainedRun",
    "Workbench",
    "augment_rows",
    "check",
    "check_rules",
    "check_task_goals",
    "clean_rows",
    "compare_runs",
    "distil_documents",
    "evaluate",
    "export_adapter",
    "gate",
    "generate",
    "import_adapter",
    "label_rows",
    "make_rows",
    "mask_rows",
    "merge_adapter",
    "mix_rows",
    "plan",
    "probe_augmentation",
    "register",
    "soften_rows",
    "train",
    "tune",
    "unmask_rows",
]
