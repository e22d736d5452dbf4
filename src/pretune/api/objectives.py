"""What a training of a task descends."""

from collections.abc import Sequence

from pretune.bases.chat import ChatRenderer
from pretune.core.records import TokenExample
from pretune.data.dataset import option_ids
from pretune.data.softlabels import SoftLabels
from pretune.spec.task import TaskSpec
from pretune.training.objective import Objective
from pretune.training.objectives.distil import Softening, distil_labels, distil_tokens
from pretune.training.objectives.sft import SFT


def objective_of(
    task: TaskSpec, renderer: ChatRenderer, examples: Sequence[TokenExample]
) -> Objective:
    """Supervised tuning, or its teacher's soft labels too.

    Raises:
        DataError: soft labels that are not there, damaged, or of other rows, labels or tokens.
    """
    if task.teacher is None or task.teacher.soft is None:
        return SFT
    soft = SoftLabels(task.teacher.soft)
    softening = Softening(task.teacher.temperature, task.teacher.weight)
    if task.labels is None:
        objective = distil_tokens(soft, renderer.digest, softening)
    else:
        ids = dict(zip(task.labels, option_ids(task, renderer), strict=True))
        objective = distil_labels(soft, ids, softening)
    soft.check(examples)
    return objective
