"""Adapters to and from other formats, and into the base's own weights."""

from pathlib import Path
from typing import NamedTuple

import torch

from pretune.adapters.adapter import Adapter
from pretune.adapters.files import load_adapter, save_adapter
from pretune.adapters.injection import Injection, Routing
from pretune.adapters.merge import merge
from pretune.adapters.peft_format import export_peft, import_peft
from pretune.api.runs import adapter_folder
from pretune.api.workbench import Workbench
from pretune.bases import Base
from pretune.core.errors import AdapterError, BusyError
from pretune.core.files import folder_atomic
from pretune.core.scope import Scope
from pretune.spec.base import BaseSpec

_PROBE = 16
"""Tokens on which a merge is checked."""


class Merged(NamedTuple):
    """Where a merged model is, and the largest difference of its logits from base + adapter."""

    folder: Path
    difference: float
    largest_logit: float


def import_adapter(source: Path | str, base: BaseSpec, scope: Scope, root: Path | str) -> Path:
    """Bring an adapter in PEFT's format into ``root``; see ``adapters/peft_format.py``."""
    adapter = import_peft(Path(source), Workbench.open(base).base, scope)
    return save_adapter(adapter, Path(root))


def export_adapter(
    adapter: Path | str, base: BaseSpec, out: Path | str, *, as_all_tokens: bool = False
) -> Path:
    """Write an adapter in PEFT's format; see ``adapters/peft_format.py``."""
    loaded = load_adapter(adapter_folder(Path(adapter)))
    return export_peft(loaded, Workbench.open(base).base, Path(out), as_all_tokens=as_all_tokens)


def merge_adapter(adapter: Path | str, base: BaseSpec, out: Path | str) -> Merged:
    """Fold an adapter into a copy of the base, check that it computes the same, and save it.

    Raises:
        AdapterError: not mergeable, or the merged weights do not compute what base + adapter do.
        BusyError: ``out`` exists.
    """
    out = Path(out)
    if out.exists():
        raise BusyError(f'"{out}" exists; name a folder that does not')
    loaded = load_adapter(adapter_folder(Path(adapter)))
    before = Workbench.open(base).base
    after = merge(before, loaded)
    expected, found = _logits(before, loaded), _logits(after, None)
    difference = float((expected - found).abs().max())
    largest = float(expected.abs().max())
    # A weight is rounded to the base's precision once more in a merge: allow what that can do.
    allowed = 64 * torch.finfo(before.model.dtype).eps * largest
    if not difference <= allowed:
        raise AdapterError(
            f"the merged weights differ from base + adapter by {difference:.2g} in the logits, "
            f'more than rounding explains ({allowed:.2g}); load the base with precision "fp32"'
        )
    with folder_atomic(out) as draft:
        after.model.save_pretrained(draft)
        after.renderer.save(draft)
    return Merged(out, difference, largest)


def _logits(base: Base, adapter: Adapter | None) -> torch.Tensor:
    """Logits of a fixed run of token ids under ``adapter``."""
    injection = Injection(base)
    ids = torch.arange(_PROBE)[None] * 7 % base.anatomy.vocabulary
    slots = torch.full_like(ids, -1)
    if adapter is not None:
        slots += 1 + injection.mount("merged", adapter).slot
    routing = Routing(slots, torch.full_like(ids, -1))
    with torch.no_grad(), injection.routed(routing):
        hidden = base.backbone(ids.to(base.device), use_cache=False).last_hidden_state
        logits = base.head(hidden[0]).float()
    if adapter is not None:
        injection.unmount("merged")
    return logits
