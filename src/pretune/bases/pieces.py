"""A tokenizer for pieces of a text: one that puts no space before a piece.

SentencePiece-like tokenizers begin every text with a space, so that a first word looks like any
other. A prompt is tokenised piece by piece, and each piece would grow a space that nobody wrote.
"""

import copy
import json
from typing import Any

from tokenizers import Tokenizer


def without_added_space(tokenizer: Any) -> Any:
    """A fast ``tokenizer`` that adds no space; the same one, unchanged, if it adds none already."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    normalizer = _plain(described["normalizer"])
    pre_tokenizer = _plain(described["pre_tokenizer"])
    if (normalizer, pre_tokenizer) == (described["normalizer"], described["pre_tokenizer"]):
        return tokenizer
    described |= {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
    plain = Tokenizer.from_str(json.dumps(described))
    changed = copy.deepcopy(tokenizer)
    changed.backend_tokenizer.normalizer = plain.normalizer
    changed.backend_tokenizer.pre_tokenizer = plain.pre_tokenizer
    return changed


def _plain(step: Any) -> Any:
    """A step of a tokenizer's description, and the steps within it, without the added space."""
    match step:
        case {"type": "Prepend"}:
            return None
        case {"type": "Metaspace"}:
            return step | {"prepend_scheme": "never"}
        case {"type": "ByteLevel", "add_prefix_space": True}:
            return step | {"add_prefix_space": False}
        case {"type": "Sequence"}:
            (inner,) = (key for key in step if key != "type")
            return step | {inner: [kept for one in step[inner] if (kept := _plain(one))]}
    return step
