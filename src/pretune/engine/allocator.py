"""Freed memory stays with the process: a step on a CPU takes the same buffers as the last one.

A prefill writes and frees tensors of tens of megabytes by the hundred. The C library hands these
back to the system and asks for them anew, and every page that comes back has to be cleared: a
million page faults in a prefill of 4,096 tokens at half a billion weights, a sixth of its time
(docs/log.md).
"""

import ctypes
import os

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_KEPT = {_MMAP: 1 << 30, _TRIM: (1 << 31) - 1}
"""Bytes: what is smaller than the first comes from the heap, and the second stays on top of it."""

_LEARNED = 32 << 20
"""Bytes up to which glibc learns by itself that what is freed will be wanted again."""

_OWN_WISHES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory(largest: int) -> bool:
    """Have the C library keep what is freed, for the whole process, if tensors of ``largest`` bytes
    need that; whether it will.

    Only glibc can. Other allocators (a preloaded tcmalloc or jemalloc) keep freed memory anyway,
    and who has set glibc's thresholds in the environment is left to them.
    """
    if largest <= _LEARNED or any(name in os.environ for name in _OWN_WISHES):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  (AttributeError elsewhere)
        return all(library.mallopt(name, value) == 1 for name, value in _KEPT.items())
    except (OSError, AttributeError, TypeError):
        return False
