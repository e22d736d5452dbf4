"""The process that reads documents: paths in, blocks out, one JSON line each.

``python -m pretune.data.documents.worker BYTES PAGES MEMORY``, started by ``reading.py``.
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path
from typing import TextIO

from pretune.data.documents.blocks import Limits, Unreadable
from pretune.data.documents.formats import FORMATS


def main() -> None:
    """Read what standard input names until it ends."""
    limit_bytes, pages, memory = map(int, sys.argv[1:])
    _limit_memory(memory)
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        refused = _read(Path(json.loads(line)), Limits(limit_bytes, pages), out)
        print(json.dumps({"refused": refused}), file=out, flush=True)


def _read(path: Path, limits: Limits, out: TextIO) -> str | None:
    """Print the blocks of ``path``; the reason where it is refused."""
    try:
        size = path.stat().st_size
        if size > limits.bytes:
            return (
                f"has {size >> 20:,} MB, more than the {limits.bytes >> 20:,} allowed; split it, "
                "or raise limits.megabytes"
            )
        module = importlib.import_module(FORMATS[path.suffix.lower()].module)
        for block in module.read(path, limits):
            print(json.dumps([block.kind, block.text, block.level]), file=out)
    except Unreadable as error:
        return str(error)
    except MemoryError:
        return "needs more memory than limits.memory_megabytes; split it, or raise that"
    except RecursionError:
        return "is nested too deeply; save it anew from the program that made it"
    except OSError as error:
        return f"cannot be read: {error.strerror or type(error).__name__}"
    except Exception as error:  # a hostile file may break a parser anywhere; it costs this file
        return f"breaks its reader ({type(error).__name__}); save it anew"
    return None


def _limit_memory(most: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
