"""From a method's config to the method: the file of the same name in ``methods``."""

import importlib
from typing import Any

from pretune.adapters.method import Method
from pretune.core.names import unknown
from pretune.spec.methods import METHODS, MethodConfig


def build_method(config: MethodConfig) -> Method[Any]:
    """The method that ``config`` describes; its file is imported on first use.

    Raises:
        UnknownName: no such method.
    """
    name = str(getattr(config, "name", ""))
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    module = importlib.import_module(f"pretune.adapters.methods.{name}")
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Method)
        and kind.__module__ == module.__name__
    ]
    (kind,) = kinds
    method: Method[Any] = kind(config)
    return method
