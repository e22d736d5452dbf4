"""The recognisers that ship; each file of this folder adds its own to ``RECOGNISERS``."""

from pretune.data.privacy.found import Recogniser
from pretune.data.privacy.recognisers import (
    accounts,
    addresses_en,
    addresses_zh,
    cards,
    emails,
    ids,
    names_en,
    names_zh,
    phones,
    plates,
    secrets,
)

RECOGNISERS: tuple[Recogniser, ...] = tuple(
    one
    for module in (
        emails,
        phones,
        cards,
        ids,
        plates,
        accounts,
        secrets,
        addresses_en,
        addresses_zh,
        names_en,
        names_zh,
    )
    for one in module.RECOGNISERS
)
"""All of them. They need no model and no network."""
