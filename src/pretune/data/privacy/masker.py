"""Private values to pseudonyms, consistently over the texts of a row and over all rows."""

import re
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretune.data.augment.edits import Edit
from pretune.data.privacy.detector import Detector
from pretune.data.privacy.found import Found, PrivateType, resolve
from pretune.data.privacy.keyfile import Key
from pretune.data.privacy.pseudonyms import PSEUDONYM, pseudonym
from pretune.data.privacy.rows import Place, edited, places_of
from pretune.data.privacy.vault import Entry, Vault

_REMEMBERED = 1 << 16
"""Pseudonyms known to be in the vault, so as not to ask it again; a bound of memory, no more."""

_WAITING = 4096
"""Entries that wait for the vault at most."""

_SHORTEST = {PrivateType.PERSON: 4}
_SHORTEST_OTHER = 5
_SHORTEST_HAN = 2
"""Characters that a found value must have to be looked for in the rest of its row."""

_HEAD = 2
"""Characters by which such values are looked up; none is shorter."""


class VaultMasker:
    """Masks texts and rows; a :class:`pretune.core.protocols.Masker`.

    ``counts``: how many of each type were replaced. Close it, or use it as a context, so that the
    vault holds all that was replaced.

    Raises:
        DataError, StorageError, BusyError: see :class:`pretune.data.privacy.vault.Vault`.
    """

    def __init__(
        self,
        key: Key,
        vault: Path,
        detector: Detector | None = None,
        homes: Mapping[str, str] | None = None,
    ) -> None:
        self._key = key
        self._detector = detector or Detector()
        self._homes = homes or {}
        self._vault = Vault(vault, key, create=True)
        self._waiting: dict[str, Entry] = {}
        self._kept: OrderedDict[str, None] = OrderedDict()
        self.counts: Counter[PrivateType] = Counter()

    def __enter__(self) -> "VaultMasker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def mask(self, text: str) -> str:
        """``text`` with what is private replaced."""
        masked: str = self.mask_fields({"": text})[""]
        return masked

    def mask_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """``fields`` with what is private in any text of theirs replaced and spans moved along.

        What is found in one text is replaced in all texts of the row. Names of columns and the
        origin stay as they are.

        Raises:
            SpansLost: see :func:`pretune.data.privacy.rows.edited`; nothing was counted.
            NotText: see :func:`pretune.data.privacy.rows.places_of`; nothing was counted.
        """
        places = places_of(fields)
        found = _found_in(places, self._detector)
        edits = [
            [
                Edit(one.start, one.end, pseudonym(self._key.naming, one.type, one.value))
                for one in of
            ]
            for of in found
        ]
        masked = edited(fields, edits, self._homes)
        for place, of_place, edits_of in zip(places, found, edits, strict=True):
            for one, edit in zip(of_place, edits_of, strict=True):
                self.counts[one.type] += 1
                self._remember(Entry(edit.new, one.value, place.text[one.start : one.end]))
        return masked

    def keep(self) -> None:
        """Put what was replaced into the vault; from now on it can be undone, kill or not."""
        if self._waiting:
            self._vault.add(self._waiting.values())
            for name in self._waiting:
                self._kept[name] = None
            self._waiting.clear()
            while len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)

    def close(self) -> None:
        """Keep all, and let go of the vault."""
        try:
            self.keep()
        finally:
            self._vault.close()

    def _remember(self, entry: Entry) -> None:
        if entry.pseudonym in self._kept:
            self._kept.move_to_end(entry.pseudonym)
        else:
            self._waiting.setdefault(entry.pseudonym, entry)
            if len(self._waiting) >= _WAITING:
                self.keep()


class Unmasker:
    """Puts back what pseudonyms stand for, from a vault.

    ``counts``: how many were put back, by type; ``unknown``: how many the vault does not hold.
    """

    def __init__(self, vault: Vault, homes: Mapping[str, str] | None = None) -> None:
        self._vault = vault
        self._homes = homes or {}
        self.counts: Counter[PrivateType] = Counter()
        self.unknown = 0

    def unmask_fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """``fields`` with known pseudonyms replaced and spans moved along.

        Raises:
            SpansLost: see :func:`pretune.data.privacy.rows.edited`.
            NotText: see :func:`pretune.data.privacy.rows.places_of`.
        """
        edits = [list(self._edits(place.text)) for place in places_of(fields)]
        return edited(fields, edits, self._homes)

    def _edits(self, text: str) -> Iterator[Edit]:
        for match in PSEUDONYM.finditer(text):
            original = self._vault.text_of(match[0])
            if original is None:
                self.unknown += 1
            else:
                self.counts[PrivateType(match["type"])] += 1
                yield Edit(*match.span(), original)


def _found_in(places: Sequence[Place], detector: Detector) -> list[list[Found]]:
    """What is private in each place; what one place gave away is found in all of them."""
    found = [detector.find(place.text, place.column) for place in places]
    known = {
        place.text[one.start : one.end]: one
        for place, of_place in zip(places, found, strict=True)
        for one in of_place
    }
    wanted = {text: one for text, one in known.items() if _distinctive(text, one.type)}
    if not wanted:
        return found
    sought = _Sought.of(wanted)
    return [
        resolve(place.text, [*of_place, *sought.find(place.text)])
        for place, of_place in zip(places, found, strict=True)
    ]


@dataclass(frozen=True)
class _Sought:
    """Known values to be found again, in a time that does not grow with how many they are.

    ``firsts`` matches the characters that one may begin with, ``lengths`` are by their heads.
    """

    known: Mapping[str, Found]
    firsts: re.Pattern[str]
    lengths: Mapping[str, Collection[int]]

    @classmethod
    def of(cls, known: Mapping[str, Found]) -> "_Sought":
        lengths: dict[str, set[int]] = {}
        for text in known:
            lengths.setdefault(text[:_HEAD], set()).add(len(text))
        firsts = "".join(sorted({text[0] for text in known}))
        return cls(known, re.compile(f"[{re.escape(firsts)}]"), lengths)

    def find(self, text: str) -> Iterator[Found]:
        """Where any of them stands by itself."""
        for match in self.firsts.finditer(text):
            start = match.start()
            for length in self.lengths.get(text[start : start + _HEAD], ()):
                end = start + length
                one = self.known.get(text[start:end])
                if one is None or end > len(text) or _joins(text, start) or _joins(text, end):
                    continue
                yield one._replace(start=start, end=end, certainty=0.5)


def _joins(text: str, place: int) -> bool:
    """Whether a word or number of ASCII goes on over ``place``."""
    beside = text[max(0, place - 1) : place + 1]
    return len(beside) == 2 and all(one.isascii() and one.isalnum() for one in beside)


def _distinctive(text: str, kind: PrivateType) -> bool:
    if any("\u4e00" <= one <= "\u9fff" for one in text):
        return len(text) >= _SHORTEST_HAN
    return len(text) >= _SHORTEST.get(kind, _SHORTEST_OTHER)
