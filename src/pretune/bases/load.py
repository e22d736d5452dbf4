"""Load a base from the package, a folder or the hub's local cache; safetensors only."""

import json
from pathlib import Path
from typing import Any

import torch

from pretune.bases.anatomy import dissect
from pretune.bases.base import Base
from pretune.bases.chat import ChatRenderer
from pretune.bases.quantized import keep_layout
from pretune.bases.weights import weight_files
from pretune.core.digest import of_file, of_json
from pretune.core.errors import BaseModelError, MissingExtra
from pretune.core.names import unknown

EMBEDDED = Path(__file__).parent / "embedded"
"""The small pre-trained base that ships with the package, named ``embedded``."""

PRECISIONS: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "nf4": torch.bfloat16,
}
"""How weights are held; for ``nf4`` (QLoRA, arXiv 2305.14314) the dtype of everything else."""

_DOWNLOADED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


def load_base(
    name: str = "embedded",
    precision: str = "fp32",
    *,
    device: str | torch.device = "cpu",
    allow_download: bool = False,
    revision: str | None = None,
) -> Base:
    """Load the base called ``name``: ``embedded``, a folder, or a hub name.

    A hub name is looked up in the local cache; the network is asked only with ``allow_download``.

    Raises:
        BaseModelError: not found, pickled weights or weights elsewhere, not decoder-only, or a
            broken file.
        MissingExtra: precision ``nf4`` without bitsandbytes.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    folder = _folder(name, allow_download, revision)
    config = _config(name, folder)
    weights = weight_files(name, folder, config)
    model = _model(name, folder, config, precision, torch.device(device))
    model.requires_grad_(False)
    model.eval()
    keep_layout(model)
    return Base(
        name=name,
        digest=of_json([_shape(folder), [of_file(path) for path in weights]]),
        precision=precision,
        model=model,
        renderer=_renderer(name, folder, config),
        anatomy=dissect(model),
    )


def load_renderer(
    name: str = "embedded", *, allow_download: bool = False, revision: str | None = None
) -> ChatRenderer:
    """The tokenizer and chat template of the base called ``name``, without its weights.

    Raises:
        BaseModelError: not found, not decoder-only, or without a readable tokenizer.
    """
    folder = _folder(name, allow_download, revision)
    return _renderer(name, folder, _config(name, folder))


def load_config(
    name: str = "embedded", *, allow_download: bool = False, revision: str | None = None
) -> Any:
    """What ``transformers`` knows of the base called ``name``, without its weights.

    Raises:
        BaseModelError: not found, or not decoder-only.
    """
    return _config(name, _folder(name, allow_download, revision))


def context_of(config: Any) -> int:
    """Most tokens of a sequence that a model of ``config`` takes as it would take it alone.

    With rotary positions of type ``longrope`` the longest sequence of a forward pass decides how
    all of them are turned, and what the cache holds stays as it was turned. So no sequence may be
    as long as that.

    Raises:
        BaseModelError: the model has no positions to count.
    """
    text = config.get_text_config(decoder=True)
    length = getattr(text, "max_position_embeddings", None)
    if length is None:
        raise BaseModelError(
            f'a base of type "{config.model_type}" has no positions that say how long a text may '
            "be; use a Llama, Qwen, Mistral, Gemma, Phi, OLMo 2, SmolLM3, GPT-2 or GPT-NeoX model"
        )
    rotary = getattr(text, "rope_parameters", None) or {}
    if rotary.get("rope_type") == "longrope":
        length = min(length, rotary["original_max_position_embeddings"])
    return int(length)


def _renderer(name: str, folder: Path, config: Any) -> ChatRenderer:
    return ChatRenderer(_tokenizer(name, folder), context_of(config))


def _folder(name: str, allow_download: bool, revision: str | None) -> Path:
    if name == "embedded":
        return EMBEDDED
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file() or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise BaseModelError(
            f'no base at "{name}"; use "embedded", a folder with config.json and safetensors '
            "weights, or a hub name such as Qwen/Qwen2.5-0.5B"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                local_files_only=not allow_download,
                allow_patterns=list(_DOWNLOADED),
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        step = (
            "check the name and the connection"
            if allow_download
            else "give a folder, or allow the download with base: {name: ..., allow_download: true}"
        )
        raise BaseModelError(f'base "{name}" is not on this machine; {step}') from error


def _config(name: str, folder: Path) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        told = json.loads((folder / "config.json").read_bytes())
        of_json(told)  # half a pair of UTF-16 can be read, and has no digest
        # Encoders such as BERT have a causal class too; what they were saved as tells them apart.
        trained_as = config.architectures or ["Model"]
        writes = any(saved.endswith(("ForCausalLM", "Model")) for saved in trained_as)
    except Exception as error:  # a hostile file may break transformers anywhere
        raise BaseModelError(f'base "{name}" has no readable config.json: {error}') from error
    if "configuration_files" in told:
        raise BaseModelError(
            f'base "{name}" has "configuration_files" in its config.json, which leads to another '
            "file for some versions of transformers; put what is meant into config.json itself"
        )
    known = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    if not known or not writes or config.is_encoder_decoder:
        raise BaseModelError(
            f'base "{name}" is of type "{config.model_type}", not a decoder-only language model; '
            "use a Llama, Qwen, Mistral, Gemma, Phi, OLMo 2, SmolLM3, GPT-2 or GPT-NeoX model"
        )
    return config


def _shape(folder: Path) -> dict[str, Any]:
    """The part of the config that decides what the weights compute: as it stands in the file, for
    a later ``transformers`` may know more that can be said, and the base is the same."""
    ignored = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"}
    told = json.loads((folder / "config.json").read_bytes())
    return {key: value for key, value in told.items() if key not in ignored}


def _model(name: str, folder: Path, config: Any, precision: str, device: torch.device) -> Any:
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": PRECISIONS[precision], "use_safetensors": True}
    if precision == "nf4":
        options["quantization_config"] = _nf4()
        options["device_map"] = {"": device}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, with the name
            **options,
        )
    except Exception as error:  # a hostile file may break transformers anywhere
        raise BaseModelError(f'base "{name}" cannot be loaded: {error}') from error
    model, notes = loaded
    if notes["mismatched_keys"]:
        weight, found, expected = min(notes["mismatched_keys"])
        raise BaseModelError(
            f'base "{name}" has weight "{weight}" of shape {tuple(found)}, its config.json says '
            f"{tuple(expected)}; the folder mixes two models"
        )
    if notes["missing_keys"]:
        missing = sorted(notes["missing_keys"])
        raise BaseModelError(
            f'base "{name}" lacks {len(missing)} weights, "{missing[0]}" first; the folder is '
            "incomplete or holds another model"
        )
    return model if precision == "nf4" else model.to(device)


def _nf4() -> Any:
    try:
        import bitsandbytes  # noqa: F401  (transformers needs it at load)
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "qlora", 'precision "nf4"') from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _tokenizer(name: str, folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a hostile file may break transformers anywhere
        raise BaseModelError(f'base "{name}" has no readable tokenizer: {error}') from error
    if not tokenizer.is_fast:
        raise BaseModelError(f'base "{name}" has a slow tokenizer; add its tokenizer.json')
    return tokenizer
