"""Merging: fold an adapter into a copy of the base's weights, where the mathematics permits."""

import copy
from dataclasses import replace

import torch

from pretune.adapters.adapter import Adapter
from pretune.adapters.matrices import matrix_of, set_matrix
from pretune.bases import Base
from pretune.bases.anatomy import Part, dissect
from pretune.core.digest import of_json
from pretune.core.errors import AdapterError
from pretune.core.scope import Scope


def check_mergeable(adapter: Adapter) -> None:
    """Raise AdapterError, with the reason, where no set of base weights equals base + adapter."""
    name = adapter.config.name
    if not adapter.method.mergeable:
        raise AdapterError(
            f'method "{name}" cannot be merged: it is no update of the base\'s matrices; serve it '
            "as an adapter"
        )
    if adapter.scope is not Scope.ALL:
        raise AdapterError(
            f'an adapter of scope "{adapter.scope}" cannot be merged: merged weights would act on '
            'generated tokens too; serve it as an adapter, or train with scope "all"'
        )


def merge(base: Base, adapter: Adapter) -> Base:
    """A new base whose weights hold the adapter; ``base`` is left as it is.

    Raises:
        AdapterError: not mergeable (see :func:`check_mergeable`), a 4-bit base, another base.
    """
    check_mergeable(adapter)
    weights = adapter.by_site(base)
    model = copy.deepcopy(base.model)
    anatomy = dissect(model)
    with torch.no_grad():
        for site in adapter.method.sites(anatomy):
            parts = {part: value.to(base.device) for part, value in weights[site.name].items()}
            if site.part is Part.LEAF:
                for part, parameter in site.module.named_parameters(recurse=False):
                    parameter.copy_(parts[part])
            else:
                matrix = matrix_of(site.module).float()
                set_matrix(site.module, adapter.method.merged(site, parts, matrix))
    return replace(
        base,
        name=f"{base.name}+{adapter.digest[:12]}",
        digest=of_json([base.digest, adapter.digest]),
        model=model,
        anatomy=anatomy,
    )
