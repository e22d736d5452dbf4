"""A process that ends with the one that started it, however that one ended.

Its standard input is a pipe that the starter holds and writes nothing to; the system closes it with
the starter, also by ``kill -9``. ``python -m pretune.core.tether MODULE ARGUMENTS`` runs a module
so.
"""

import os
import runpy
import sys
import threading


def tether() -> None:
    """End this process, at once and in the middle of whatever it does, with its standard input."""
    threading.Thread(target=_end_with_the_starter, daemon=True).start()


def _end_with_the_starter() -> None:
    # Not sys.stdin: a thread that waits in it holds a lock that the interpreter's end asks for.
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    tether()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
