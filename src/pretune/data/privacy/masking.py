"""Masking on the way in: a step reads masked texts and rows, and so stores and sends no others."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pretune.core.origin import KEY
from pretune.core.records import Row
from pretune.data.privacy.detector import Detector
from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.keyfile import Key, load_key, make_key
from pretune.data.privacy.masker import VaultMasker
from pretune.data.privacy.recognisers import RECOGNISERS
from pretune.data.privacy.recognisers.presidio import load_presidio
from pretune.data.workshop.tracked import Tracked
from pretune.spec.masking import MaskSpec


def vault_of(key: Path) -> Path:
    """Where the vault of a key file is: beside it."""
    return key.with_name(f"{key.name}.vault")


class Mask:
    """What a step shows its texts to before it does anything else with them.

    ``name`` says how it masks, and decides the step's output. One thread at a time.
    """

    def __init__(self, key: Key, masker: VaultMasker, how: str) -> None:
        self._key, self._masker = key, masker
        self.name = f"{key.id}: {how}"

    def texts(self, texts: Sequence[str]) -> list[str]:
        """``texts`` masked; what is found in one of them is replaced in all."""
        masked: list[str] = self._masker.mask_fields({"": list(texts)})[""]
        return masked

    def row(self, given: Tracked) -> Tracked:
        """A row masked, and known by ids that say nothing about it: those of ``pretune data mask``.

        Raises:
            SpansLost: spans of the row fit no text of it.
            NotText: bytes of the row are no text.
        """
        fields = self._masker.mask_fields(given.row.fields)
        origin = self._key.renamed(given.origin)
        return Tracked(Row(given.row.id, {**fields, KEY: asdict(origin)}), origin)

    def digests(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """Digests of private files as the lineage may tell them."""
        return {name: self._key.digest(digest) for name, digest in inputs.items()}

    def keep(self) -> Counter[str]:
        """To be called before masked text is stored or sent: what undoes it is on the disk then.
        How many of each type were replaced since the last call."""
        self._masker.keep()
        counts = Counter({kind.value: n for kind, n in self._masker.counts.items()})
        self._masker.counts.clear()
        return counts


@contextmanager
def open_mask(spec: MaskSpec | None) -> Iterator[Mask | None]:
    """The mask that ``spec`` says, for the length of the block; ``None`` where it says none.

    Raises:
        DataError: a key file that others may read, another key's vault.
        MissingExtra: Presidio is named and not installed.
    """
    if spec is None or spec.key is None:
        yield None
        return
    key = load_key(spec.key) if spec.key.exists() else make_key(spec.key)
    types = [one for one in PrivateType if one.value.lower() in spec.types]
    recognisers = RECOGNISERS
    if spec.presidio is not None:
        recognisers = (*RECOGNISERS, load_presidio(spec.presidio))
    how = ", ".join([*types, *([spec.presidio] if spec.presidio else [])])
    with VaultMasker(key, vault_of(spec.key), Detector(types, recognisers)) as masker:
        yield Mask(key, masker, how)
