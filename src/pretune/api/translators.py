"""Translation models of this machine as a teacher: two folders, there and back."""

import threading
from pathlib import Path
from typing import Any

import torch

from pretune.bases.weights import weight_files
from pretune.core.digest import of_file, of_json
from pretune.core.errors import BaseModelError
from pretune.data.augment.backtranslation import BACK, FORWARD
from pretune.data.teacher.ask import Ask, Reply
from pretune.spec.rewriting import TranslatorSpec


class Translators:
    """Sequence-to-sequence models through transformers: local files, safetensors, no code of
    theirs. One translation at a time. An ask's ``system`` says which way.

    Raises:
        BaseModelError: a folder that holds no such model.
    """

    def __init__(self, spec: TranslatorSpec) -> None:
        self._ways = {FORWARD: _Translator(spec.forward), BACK: _Translator(spec.back)}
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """Digest of both models' files."""
        return of_json([one.digest for one in self._ways.values()])

    def call(self, ask: Ask) -> Reply:
        """See :class:`pretune.data.teacher.ask.Teacher`."""
        with self._lock:
            return self._ways[ask.system].translate(ask)


class _Translator:
    def __init__(self, folder: Path) -> None:
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            raise BaseModelError(
                f'no translation model in "{folder}"; name a folder with config.json, a tokenizer '
                "and weights as safetensors"
            )
        from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            weight_files(str(folder), folder, config)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise BaseModelError(
                f'"{folder}" is no translation model that transformers can load: '
                f"{str(error).splitlines()[0]}"
            ) from error
        self._model.eval()
        self._longest = int(getattr(self._model.config, "max_position_embeddings", 512))
        names = sorted(path for path in folder.iterdir() if path.is_file())
        self.digest = of_json([[path.name, of_file(path)] for path in names])

    def translate(self, ask: Ask) -> Reply:
        inputs = self._tokenizer(ask.user, return_tensors="pt")
        length = int(inputs["input_ids"].shape[1])
        if length > self._longest:
            return Reply("", False, length, 0)  # no answer to this one; others are shorter
        room = min(ask.max_tokens, self._longest - 1)
        sampled = {"do_sample": True, "temperature": ask.temperature} if ask.temperature else {}
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(ask.seed)
            (ids,) = self._model.generate(
                **inputs, **{"do_sample": False, "num_beams": 1, "max_new_tokens": room, **sampled}
            )
        whole = int(ids[-1]) == self._model.generation_config.eos_token_id
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return Reply(text, whole, length, len(ids))
