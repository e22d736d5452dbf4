"""Keys of KV blocks: a block's content follows from its tokens, who wrote each of them, and all
blocks before it, so that is what its key is a digest of.

A task's name, a file's path or the time have no part in it: an adapter is named by its digest. A
token that the base wrote has the same key under every task, so a context shared by scope
``suffix`` and a generated answer of an earlier turn are found again by whoever reads them next.
"""

import hashlib
from array import array
from collections.abc import Sequence

from pretune.core.scope import SCOPE_VERSION
from pretune.engine.blocks import Key


def root_key(base_digest: str, precision: str) -> Key:
    """What stands before the first block of every sequence on a base."""
    text = f"pretune kv {SCOPE_VERSION} {base_digest} {precision}"
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def salted(root: Key, salt: str) -> Key:
    """What stands before the first block of those who share ``salt`` and no blocks with others."""
    if not salt:
        return root
    text = salt.encode(errors="surrogatepass")
    return hashlib.blake2b(text, key=root, digest_size=32).digest()


def block_key(
    parent: Key,
    ids: Sequence[int],
    routed: Sequence[bool],
    virtual: Sequence[int],
    writer: str | None,
) -> Key:
    """Key of the block after ``parent`` that holds these tokens, all of one length.

    Args:
        routed: whether the adapter ``writer`` (a digest) wrote the token, or the base.
        virtual: index of the virtual token, -1 for a real one.
    """
    digest = hashlib.blake2b(parent, digest_size=32)
    digest.update(array("q", ids).tobytes())
    if any(routed):
        digest.update(bytes(routed))
        digest.update(array("q", virtual).tobytes())
        digest.update(str(writer).encode())
    return digest.digest()
