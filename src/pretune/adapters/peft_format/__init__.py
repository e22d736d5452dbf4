"""PEFT's adapter format, read and written without the ``peft`` package.

What the format can hold: LoRA (rsLoRA included), DoRA, prefix tuning and prompt tuning. It knows
no scope: a low-rank adapter in it acts on every token, a prefix or soft prompt stands before all.
"""

from pathlib import Path

from pretune.adapters.adapter import Adapter
from pretune.adapters.peft_format.files import read_folder, write_folder
from pretune.adapters.peft_format.low_rank import low_rank_from, low_rank_to
from pretune.adapters.peft_format.virtual import (
    prefix_from,
    prefix_to,
    prompt_from,
    prompt_to,
)
from pretune.bases import Base
from pretune.core.errors import AdapterError
from pretune.core.names import unknown
from pretune.core.scope import Scope
from pretune.spec.methods import DoraConfig, LoraConfig, PrefixTuningConfig, PromptTuningConfig

__all__ = ["export_peft", "import_peft"]

_SCOPE_KEY = "pretune_scope"
"""Config key that names a scope PEFT does not know; PEFT warns that it ignores the key."""

_READERS = {"LORA": low_rank_from, "PREFIX_TUNING": prefix_from, "PROMPT_TUNING": prompt_from}


def import_peft(folder: Path, base: Base, scope: Scope) -> Adapter:
    """The adapter in ``folder`` (``adapter_config.json``, ``adapter_model.safetensors``).

    ``scope`` is the caller's choice, as the format holds none. A LoRA or DoRA of PEFT was trained
    on all tokens; with scope ``prompt`` it computes something else than it was trained to. The
    base that the folder names is no proof: what is checked is that every weight fits ``base``.
    The scale is PEFT's, ``alpha / r``; files of the PrAd authors mean ``alpha`` and do not fit.

    Raises:
        AdapterError: pickled, damaged or misfit weights, or an option that changes what is computed
            and has no equal here; the message names it.
        UnknownName: another method of PEFT.
        ScopeError: a scope that makes no sense for the method.
    """
    contents = read_folder(folder)
    kind = contents.text("peft_type") or ""
    if kind not in _READERS:
        raise unknown("PEFT method", kind, _READERS)
    trained = contents.text(_SCOPE_KEY)
    if trained is not None and trained != scope:
        raise AdapterError(
            f'"{folder}" was trained with scope "{trained}", not "{scope}"; import it with that'
        )
    config, weights = _READERS[kind](contents, base, scope)
    notes = {
        "imported": "peft",
        "peft_version": contents.text("peft_version"),
        "named_base": contents.text("base_model_name_or_path"),
    }
    adapter = Adapter(config, scope, weights, base.digest, base.renderer.digest, notes)
    adapter.by_site(base)
    return adapter


def export_peft(adapter: Adapter, base: Base, folder: Path, *, as_all_tokens: bool = False) -> Path:
    """Write ``adapter`` in PEFT's format to ``folder`` and return it; whole or not at all.

    Args:
        as_all_tokens: write a LoRA or DoRA of a narrower scope all the same. PEFT will apply it to
            generated tokens too, which is not what it was trained for; the config then says
            ``pretune_scope``, and PEFT warns that it ignores that key.

    Raises:
        AdapterError: a method or scope that the format cannot hold, or another base.
        StorageError: the disk is full or the folder cannot be written.
    """
    adapter.by_site(base)
    extra: dict[str, str] = {}
    match adapter.config:
        case LoraConfig() | DoraConfig() as method:
            if adapter.scope is not Scope.ALL:
                if not as_all_tokens:
                    raise AdapterError(
                        f'an adapter of scope "{adapter.scope}" has no place in PEFT\'s format, '
                        "which would apply it to every token, generated ones too; ask for "
                        'as_all_tokens if that is meant, or train with scope "all"'
                    )
                extra = {_SCOPE_KEY: str(adapter.scope)}
            config, tensors = low_rank_to(adapter, method, base)
        case PrefixTuningConfig() as method:
            config, tensors = prefix_to(adapter, method, base)
        case PromptTuningConfig() as method:
            config, tensors = prompt_to(adapter, method)
        case _:
            raise AdapterError(
                f'method "{adapter.config.name}" has no equal in PEFT\'s format; methods that '
                "have: lora, dora, prefix_tuning, prompt_tuning"
            )
    named = {
        "base_model_name_or_path": base.name,
        "inference_mode": True,
        "task_type": "CAUSAL_LM",
    }
    return write_folder(folder, named | config | extra, tensors)
