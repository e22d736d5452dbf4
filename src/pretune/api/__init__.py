"""What the commands do, for programs: the parts wired together once, used by the command line too.

>>> import pretune
>>> task = pretune.load_task("ticket-urgency.yaml")          # doctest: +SKIP
>>> run = pretune.train(task, "runs/ticket-urgency")         # doctest: +SKIP
>>> pretune.generate(task, [{"text": "..."}], run.adapter)   # doctest: +SKIP
"""

from pretune.api.compare import compare_runs
from pretune.api.exchange import export_adapter, import_adapter, merge_adapter
from pretune.api.registry import register
from pretune.api.tasks import check, evaluate, generate, train
from pretune.api.workbench import Answer, TrainedRun, Workbench

__all__ = [
    "Answer",
    "TrainedRun",
    "Workbench",
    "check",
    "compare_runs",
    "evaluate",
    "export_adapter",
    "generate",
    "import_adapter",
    "merge_adapter",
    "register",
    "train",
]
