"""Two evaluations side by side."""

from pathlib import Path

from pretune.core.errors import DataError
from pretune.evaluation.compare import Difference, compare
from pretune.evaluation.evaluate import load_evaluation


def compare_runs(first: Path | str, second: Path | str) -> tuple[Difference, ...]:
    """Is the second evaluation better than the first, on the metrics that both have?

    Both are folders that an evaluation was saved to.

    Raises:
        StorageError: no evaluation in a folder.
        DataError: they answer different rows, or share no metric.
    """
    before, after = load_evaluation(Path(first)), load_evaluation(Path(second))
    metrics = [name for name in before.metrics if name in after.metrics]
    if not metrics:
        raise DataError(
            f'"{first}" has {", ".join(before.metrics)} and "{second}" has '
            f"{', '.join(after.metrics)}: nothing to compare; evaluate both on the same metrics"
        )
    return compare(before.predictions, after.predictions, metrics)
