"""Steps of the workshop: rows to masked rows, and back."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pretune.core.batched import batched
from pretune.core.errors import DataError
from pretune.core.names import unknown
from pretune.core.origin import KEY
from pretune.data.privacy.detector import Detector
from pretune.data.privacy.found import PrivateType
from pretune.data.privacy.keyfile import Key, load_key, make_key
from pretune.data.privacy.masker import Unmasker, VaultMasker
from pretune.data.privacy.masking import vault_of
from pretune.data.privacy.recognisers import RECOGNISERS
from pretune.data.privacy.recognisers.presidio import load_presidio
from pretune.data.privacy.rows import NotText, SpansLost
from pretune.data.privacy.vault import Vault
from pretune.data.workshop.draft import Draft, refuse_sources, write_rows
from pretune.data.workshop.step import Step, Written
from pretune.data.workshop.tracked import Tracked, Unread, file_digests, read_tracked

_BATCH = 256
"""Rows between two writes into the vault: a unit of the step."""

_UNKNOWN = "pseudonyms that the vault does not hold"


def private_types(names: Iterable[str]) -> tuple[PrivateType, ...]:
    """The types called ``names``, in any case; all of them if there are no names.

    Raises:
        UnknownName: a name that is no type's.
    """
    for name in (wanted := list(names)):
        if name.upper() not in PrivateType.__members__:
            raise unknown("type", name, [one.lower() for one in PrivateType])
    chosen = {name.upper() for name in wanted}
    return tuple(one for one in PrivateType if not chosen or one in chosen)


def mask_rows(
    source: Path,
    out: Path,
    key: Path,
    *,
    types: Collection[PrivateType] = tuple(PrivateType),
    homes: Mapping[str, str] | None = None,
    presidio: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the rows of ``source`` to ``out`` with what is private replaced by pseudonyms.

    What they stand for is sealed in the vault beside the file ``key``, which is made where it does
    not exist. ``homes``: the columns of which columns of spans speak, where their texts do not
    tell. ``presidio``: an installed spaCy pipeline that finds names too.

    The same key and rows give the same bytes. Memory does not grow with the rows.

    ``counts`` of the result: replacements by type, rows left out. Ids of rows become keyed digests,
    which agree where the ids agreed.

    Raises:
        DataError: a file that cannot be read, a key file that others may read, another key's vault.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    refuse_sources([source], [out])
    inputs = file_digests([source])
    used = load_key(key) if key.exists() else make_key(key)
    settings = {
        "key": used.id,
        "types": sorted(types),
        "homes": dict(homes or {}),
        "presidio": presidio,
    }
    step = Step("mask", out.stem, settings, _keyed(inputs, used))

    recognisers = RECOGNISERS if presidio is None else (*RECOGNISERS, load_presidio(presidio))

    def work(draft: Draft) -> None:
        detector = Detector(types, recognisers)
        with VaultMasker(used, vault_of(key), detector, homes) as masker:

            def masked(row: Tracked) -> dict[str, Any]:
                fields = masker.mask_fields(row.row.fields)
                return {**fields, KEY: asdict(used.renamed(row.origin))}

            _work(draft, source, masked, masker.keep, masker.counts, progress)

    return write_rows(step, {"rows": out}, work, overwrite=overwrite)


def unmask_rows(
    source: Path,
    out: Path,
    key: Path,
    *,
    homes: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the rows of ``source`` to ``out`` with pseudonyms replaced by what they stand for.

    ``source`` may be any rows that hold pseudonyms, such as the answers of a model. Ids of rows
    stay as they are. A pseudonym that the vault does not hold stays, and is counted.

    Raises:
        DataError: a file that cannot be read; no key file or vault, or such that do not fit.
        BusyError: see :func:`pretune.data.workshop.draft.write_rows`.
    """
    refuse_sources([source], [out])
    used = load_key(key)
    step = Step("unmask", out.stem, {"key": used.id}, _keyed(file_digests([source]), used))
    with Vault(vault_of(key), used) as vault:

        def work(draft: Draft) -> None:
            unmasker = Unmasker(vault, homes)

            def unmasked(row: Tracked) -> dict[str, Any]:
                return unmasker.unmask_fields(row.row.fields)

            _work(draft, source, unmasked, lambda: None, unmasker.counts, progress)
            if unmasker.unknown:
                draft.count(_UNKNOWN, unmasker.unknown)
                draft.end_unit()

        return write_rows(step, {"rows": out}, work, overwrite=overwrite)


def _work(
    draft: Draft,
    source: Path,
    change: Callable[[Tracked], dict[str, Any]],
    keep: Callable[[], None],
    counts: Counter[PrivateType],
    progress: Callable[[int], None] | None,
) -> None:
    """Change the rows that are not done, batch by batch."""
    unread = Unread()
    batches = 0
    for batch in batched(read_tracked([source], unread), _BATCH):
        batches += 1
        if progress is not None:
            progress(len(batch))
        if batches <= draft.units:
            continue
        counts.clear()
        changed = []
        for row in batch:
            try:
                changed.append(change(row))
            except SpansLost as lost:
                draft.count(f'left out: spans in "{lost.column}" fit no text; name it with --spans')
            except NotText as error:
                column = error.column
                draft.count(f'left out: bytes in "{column}" are no UTF-8 text; remove the column')
        keep()  # what a row's pseudonyms stand for is safe before the row is
        for fields in changed:
            draft.write("rows", fields)
        for kind, count in counts.items():
            draft.count(kind.value, count)
        draft.end_unit()
    if not batches:
        raise DataError(f'"{source}" holds no rows that could be read')
    if draft.units == batches:
        for reason, count in unread.counts.items():
            draft.count(f"not read: {reason}", count)
        draft.end_unit()


def _keyed(inputs: Mapping[str, str], key: Key) -> dict[str, str]:
    """Digests of private files as the lineage may tell them."""
    return {name: key.digest(digest) for name, digest in inputs.items()}
