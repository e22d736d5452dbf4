"""LoRA and DoRA in PEFT's format: one pair of matrices a module, named by the module's path."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers.pytorch_utils import Conv1D

from pretune.adapters.adapter import Adapter
from pretune.adapters.method import Weights
from pretune.adapters.peft_format.files import Contents
from pretune.bases import Base
from pretune.bases.anatomy import COVERS, Site
from pretune.core.errors import AdapterError
from pretune.core.scope import Scope
from pretune.spec.methods import ALL_SITES, DoraConfig, LoraConfig
from pretune.spec.methods import Site as Role

_PREFIX = "base_model.model."
_PARTS = {"lora_A.weight": "A", "lora_B.weight": "B", "lora_magnitude_vector": "magnitude"}
_KEY = re.compile(
    r"base_model\.model\.(?P<module>.+)\."
    r"(?P<part>lora_A\.weight|lora_B\.weight|lora_magnitude_vector)(?:\.weight)?"
)

_REFUSED = {
    "alora_invocation_tokens": "an activated LoRA finds where it begins by searching token ids",
    "layer_replication": "it repeats layers of the base",
    "lora_bias": "biases of the low-rank product have no place in LoRA here",
    "megatron_config": "it splits layers over devices",
    "modules_to_save": "it replaces whole modules of the base",
    "target_parameters": "it acts on parameters that are no linear layer",
    "trainable_token_indices": "it replaces rows of the embedding",
    "use_qalora": "QA-LoRA groups inputs",
    "use_bdlora": "BD-LoRA splits the matrices into blocks",
    "arrow_config": "it routes between several adapters",
    "kasa_config": "KaSA scales the low-rank product by trained singular values",
    "monteclora_config": "MonteCLoRA samples its weights",
}
"""Options that change what is computed, each with the reason; all others concern training only."""

_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Starts after which the adapter fits a changed base, not the one it names."""


def low_rank_from(
    contents: Contents, base: Base, scope: Scope
) -> tuple[LoraConfig | DoraConfig, Weights]:
    """Config and weights of a LoRA or DoRA; any ``scope`` makes sense for it.

    Raises:
        AdapterError: options without an equal here, or weights that fit no layer of ``base``.
    """
    contents.refuse(_REFUSED)
    contents.refuse({"bias": "it trains biases of the base"}, harmless=("none", None))
    start = contents.config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise AdapterError(
            f'"{contents.folder}" started from "{start}", which changes the base; save it again '
            "with PEFT's path_initial_model_for_weight_conversion"
        )
    rank, alpha = contents.number("r"), contents.number("lora_alpha")
    _check_even(contents, "rank_pattern", rank)
    _check_even(contents, "alpha_pattern", alpha)
    weights, touched = _weights(contents, base)
    sites = _roles(contents, base, touched)
    rslora = contents.flag("use_rslora")
    found = contents.config_of(LoraConfig, rank=rank, alpha=alpha, rslora=rslora, sites=sites)
    if not contents.flag("use_dora"):
        return found, weights
    # DoRA here has no rsLoRA switch: the same scale is another alpha.
    alpha = found.alpha * (found.rank**0.5 if rslora else 1.0)
    return contents.config_of(DoraConfig, rank=found.rank, alpha=alpha, sites=sites), weights


def low_rank_to(
    adapter: Adapter, config: LoraConfig | DoraConfig, base: Base
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """PEFT's config and tensors of an ``adapter`` with this ``config``."""
    sites = {site.name: site for site in adapter.method.sites(base.anatomy)}
    paths = {site.name: path for path, site in _sites_by_path(base).items()}
    names = {part: name for name, part in _PARTS.items()}
    tensors: dict[str, Tensor] = {}
    for weight, value in adapter.weights.items():
        site, _, part = weight.rpartition(".")
        tensors[f"{_PREFIX}{paths[site]}.{names[part]}"] = value
    options = {
        "peft_type": "LORA",
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": isinstance(config, LoraConfig) and config.rslora,
        "use_dora": isinstance(config, DoraConfig),
        "fan_in_fan_out": any(isinstance(site.module, Conv1D) for site in sites.values()),
        "target_modules": _targets(base, {paths[name] for name in sites}),
    }
    return options, tensors


def _check_even(contents: Contents, key: str, usual: float) -> None:
    """Raise AdapterError where a pattern gives some layers another value than the ``usual`` one."""
    pattern = contents.mapping(key)
    if odd := sorted(name for name, value in pattern.items() if value != usual):
        raise AdapterError(
            f'"{contents.folder}" has "{key}" with another value for "{odd[0]}"; an adapter here '
            "has one rank and one alpha for all its layers"
        )


def _sites_by_path(base: Base) -> dict[str, Site]:
    """Each linear layer by its path in the model, as in ``model.layers.0.self_attn.q_proj``."""
    paths = {id(module): path for path, module in base.model.named_modules()}
    return {paths[id(site.module)]: site for site in base.anatomy.linears}


def _weights(contents: Contents, base: Base) -> tuple[Weights, dict[str, Site]]:
    """Weights by ``site.part``, and the sites they touch by name."""
    by_path = _sites_by_path(base)
    weights: Weights = {}
    touched: dict[str, Site] = {}
    for name, value in contents.tensors.items():
        match = _KEY.fullmatch(name)
        site = by_path.get(match["module"]) if match else None
        if match is None or site is None:
            layers = sorted({path.rpartition(".")[2] for path in by_path})
            raise AdapterError(
                f'"{name}" in "{contents.folder}" matches no layer that can be adapted of base '
                f'"{base.name}"; it has: {", ".join(layers)}'
            )
        place = f"{site.name}.{_PARTS[match['part']]}"
        if place in weights:
            raise AdapterError(
                f'"{contents.folder}" has "{name}" twice under two names; copy the adapter again'
            )
        weights[place] = value
        touched[site.name] = site
    if not touched:
        raise AdapterError(f'"{contents.folder}" holds no weights; train it, or copy it again')
    return weights, touched


def _roles(contents: Contents, base: Base, touched: Mapping[str, Site]) -> tuple[Role, ...]:
    """The roles of the ``touched`` layers, which must be the same in every block."""
    played = {role for site in touched.values() for role in COVERS[site.part]}
    roles = tuple(role for role in ALL_SITES if role in played)
    for site in base.anatomy.linears_for(roles):
        if site.name not in touched:
            raise AdapterError(
                f'"{contents.folder}" leaves out "{site.name}" but adapts the same layer of other '
                "blocks; an adapter here acts on all blocks alike"
            )
    return roles


def _targets(base: Base, paths: set[str]) -> list[str]:
    """``target_modules`` for PEFT, which matches ends of paths: the last word of each, or the last
    two where another layer ends in the same word."""
    everywhere = [path for path, _ in base.model.named_modules()]
    targets: set[str] = set()
    for path in paths:
        words = path.split(".")
        alone = all(other in paths for other in everywhere if other.endswith(f".{words[-1]}"))
        targets.add(words[-1] if alone else ".".join(words[-2:]))
    return sorted(targets)
