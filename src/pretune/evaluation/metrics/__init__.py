"""Metrics by name. A new one is a new file in this folder with a registered class."""

import functools
import importlib
import pkgutil
from collections.abc import Iterable

from pretune.core.names import unknown
from pretune.evaluation.metrics.metric import Metric, registered


@functools.cache
def _known() -> dict[str, Metric]:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {metric.name: metric for metric in sorted(registered(), key=lambda one: one.name)}


def metric_names() -> tuple[str, ...]:
    """Every known metric, in the order of the alphabet."""
    return tuple(_known())


def get_metric(name: str) -> Metric:
    """The metric called ``name``.

    Raises:
        UnknownName: no such metric; names the nearest known one.
    """
    if name not in _known():
        raise unknown("metric", name, _known())
    return _known()[name]


def get_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """The metrics called ``names``, in that order, each once.

    Raises:
        UnknownName: one of them is not known; names the nearest known one.
    """
    return tuple(get_metric(name) for name in dict.fromkeys(names))


__all__ = ["Metric", "get_metric", "get_metrics", "metric_names"]
